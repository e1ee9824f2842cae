"""Custom Diffusion through the engine: two concepts with priors of their own, at random sizes, and resuming."""

from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

from diffkit.engine.optim_constructor import scale_learning_rates
from diffkit.engine.state_io import load_tensors
from diffkit.export import read_delta
from tests.engine.test_engine_real_model import STOP, run
from tests.engine.test_engine_resume import assert_same_checkpoint, logged

TWO = {
    "model.tuners": {"_delete_": True, "attention": {"type": "CrossAttentionTuner"}, **{
        f"word_{i}": {"type": "TextualInversion", "placeholder_token": f"<new{i}>", "initializer_token": word}
        for i, word in ((1, "cat"), (2, "bucket"))}},
    "model.prior_loss_weight": 0.25,
    "train_dataloader.dataset": {
        "_delete_": True, "type": "ConceptListDataset", "num_class_images": 2, "resolution": 32, "hflip": 0.5,
        "size_augment": True, "concepts": [
            {"data_root": "shapes:striped_heart", "placeholder": "<new1>", "captions": "none",
             "instance_prompt": "a photo of a {} cat", "class_prompt": "a cat"},
            {"data_root": "shapes:cyan_triangle", "placeholder": "<new2>", "captions": "none",
             "instance_prompt": "a photo of a {} bucket", "class_prompt": "a bucket"}]},
    "custom_hooks": [{"type": "PriorImagesHook", "num_inference_steps": 1}, {"type": "EMAHook"}],
    "scale_lr": "with_prior",
}


def test_a_training_of_two_concepts(sd_folder, tmp_path, capfd):
    runner = run(sd_folder, tmp_path, TWO)
    text = capfd.readouterr().out
    assert "x 2 (batch) x 1 (processes) x 2 (pictures of an item) = " in text
    assert "concept 1: shapes:cyan_triangle" in text and "latents are not cached" in text
    for number, prompt in enumerate(("a cat", "a bucket")):
        folder = tmp_path / f"class_images_{number}"
        assert len(list(folder.glob("*.png"))) == 2 and prompt in (folder / "metadata.jsonl").read_text()
    state = load_tensors(tmp_path / "step5/state/model.safetensors")
    assert sorted(value.shape[0] for name, value in state.items() if "learned" in name) == [1, 1]
    assert all("attn2.to_" in name or "learned" in name for name in state)  # frozen weights are not in it
    model, hook = runner.bare_model, next(hook for hook in runner.hooks if hasattr(hook, "shadow"))
    for word in ("new1", "new2"):
        rows = load_file(tmp_path / f"step5/learned_embeds.{word}.safetensors")[f"<{word}>"]
        learned = model.tuners[f"word_{word[-1]}"].vectors["text_encoder"]
        assert not torch.equal(rows, learned.initial)  # each word was trained
    delta = read_delta(tmp_path / "step5/pytorch_custom_diffusion_weights.safetensors")
    assert all(torch.equal(value, hook.shadow[f"unet.{name}"]) for name, value in delta.whole.items())  # the average
    assert all(not torch.equal(value, model.tuners["attention"].initial()[name]) for name, value in delta.whole.items())


@pytest.mark.slow
def test_resumed_equals_uninterrupted(sd_folder, tmp_path):
    run(sd_folder, tmp_path / "whole", TWO)
    run(sd_folder, tmp_path / "parts", TWO | STOP)
    run(sd_folder, tmp_path / "parts", TWO | {"resume": True})
    assert_same_checkpoint(tmp_path / "whole/step5", tmp_path / "parts/step5")
    assert logged(tmp_path / "whole") == logged(tmp_path / "parts")


@pytest.mark.parametrize("pictures, factor", [(1, 4), (2, 8)])
def test_scale_lr_can_count_the_prior_pictures_too(pictures, factor):
    """As the programs of Custom Diffusion do: an item with a prior picture counts twice."""
    group = {"lr": 0.01}
    wrapper = SimpleNamespace(accumulative_counts=2, optimizer=SimpleNamespace(param_groups=[group]),
                              param_groups=[group])
    text = scale_learning_rates(wrapper, 2, 1, pictures)
    assert group["lr"] == pytest.approx(0.01 * factor) and text.endswith(f"= {0.01 * factor:g}")


def test_what_scale_lr_takes(sd_folder, tmp_path):
    with pytest.raises(ValueError, match="scale_lr must be True, False or 'with_prior', given 'yes'"):
        run(sd_folder, tmp_path, {"scale_lr": "yes"})
