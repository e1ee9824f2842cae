"""The engine with textual inversion: resume, averages, accumulation, samples, logs, and several processes."""

import pytest
import torch
from safetensors.torch import load_file

from diffkit.engine.state_io import load_tensors
from tests.engine.processes import PATIENCE, context, train
from tests.engine.test_engine_real_model import STOP, run
from tests.engine.test_engine_resume import assert_same_checkpoint, logged

TOY = {"type": "TextualInversion", "placeholder_token": "<toy>", "num_vectors": 2}
DATA = {"_delete_": True, "type": "ConceptDataset", "data_root": "shapes:striped_heart", "placeholder": "<toy>",
        "learnable_property": "object", "resolution": 32, "hflip": 0.5, "repeats": 3}
SAMPLES = {"type": "SampleHook", "prompts": ["a <toy> on a table"], "interval": 3}
WORD = {"model.tuners": {"_delete_": True, "toy": TOY}, "train_dataloader.dataset": DATA, "custom_hooks": [
    {"type": "EMAHook"}, {"type": "StatisticsHook", "interval": 2}, SAMPLES]}
CASES = {
    "average": {},
    "accumulation, bfloat16, two words": {
        "optim_wrapper.accumulative_counts": 2, "optim_wrapper.dtype": "bfloat16", "scale_lr": True,
        "model.tuners": {"_delete_": True, "toy": TOY, "hat": TOY | {"placeholder_token": "<hat>", "max_norm": 0.1}}},
}


def with_word(case="average"):
    changes = WORD | CASES[case]
    if "hat" in changes["model.tuners"]:
        data = {key: value for key, value in DATA.items() if key != "learnable_property"}
        changes["train_dataloader.dataset"] = data | {"instance_prompt": "a {} with a <hat>", "captions": "none"}
    return changes


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_resumed_equals_uninterrupted(sd_folder, tmp_path, case):
    changes = with_word(case)
    run(sd_folder, tmp_path / "whole", changes)
    run(sd_folder, tmp_path / "parts", changes | STOP)
    run(sd_folder, tmp_path / "parts", changes | {"resume": True})
    assert_same_checkpoint(tmp_path / "whole/step5", tmp_path / "parts/step5")
    assert logged(tmp_path / "whole") == logged(tmp_path / "parts")


def test_a_training_leaves_vectors_samples_and_figures(sd_folder, tmp_path):
    runner = run(sd_folder, tmp_path, with_word())
    state = load_tensors(tmp_path / "step5/state/model.safetensors")
    assert [value.shape for value in state.values()] == [(2, 32)]  # the whole table is not in it
    averaged = load_file(tmp_path / "step5/learned_embeds.safetensors")["<toy>"]
    hook = next(hook for hook in runner.hooks if hasattr(hook, "shadow"))
    assert torch.equal(averaged, next(iter(hook.shadow.values())))
    assert not torch.equal(averaged, next(iter(state.values())))
    assert {path.name for path in (tmp_path / "samples").glob("step*_0_*.png")} == {
        f"step{done:06d}_0_a-toy-on-a-table.png" for done in (0, 3, 6)}
    rows = logged(tmp_path)
    vectors = runner.bare_model.tuners["toy"].vectors["text_encoder"]
    assert rows[6]["toy/text_encoder/norm_1"] == pytest.approx(vectors.rows()[1].norm().item(), rel=1e-4)
    assert 0 < rows[6]["toy/text_encoder/cosine_0"] < 1 and rows[1]["toy/text_encoder/cosine_0"] > 0.9


def test_data_without_the_word_is_refused_before_the_first_step(sd_folder, tmp_path):
    data = {key: value for key, value in DATA.items() if key not in ("placeholder", "learnable_property")}
    with pytest.raises(ValueError, match="none of the 1 prompts of the training data has '<toy>'"):
        run(sd_folder, tmp_path, with_word() | {"train_dataloader.dataset": data | {"instance_prompt": "a dog"}})
    assert not list(tmp_path.glob("samples/*"))


@pytest.mark.slow
def test_two_processes_one_of_which_may_not_see_the_word(sd_folder, tmp_path):
    """An empty prompt gives no gradient, and no process waits for one."""
    changes = {
        "model": {"_delete_": True, "type": "LatentDiffusion", "family": {"type": "StableDiffusion"},
                  "pretrained": str(sd_folder), "tuners": {"toy": TOY}},
        "train_dataloader": {"_delete_": True, "batch_size": 1, "num_workers": 0,
                             "dataset": {key: value for key, value in DATA.items() if key != "_delete_"}
                             | {"caption_dropout": 0.5},
                             "sampler": {"type": "DrawSampler"}, "collate_fn": {"type": "diffkit.collate_samples"}},
        "train_cfg.max_iters": 4, "custom_hooks": [], "param_scheduler": []}
    ranks = []
    for rank in (0, 1):
        ranks.append(context().Process(target=train, args=(tmp_path / "w", tmp_path / f"log{rank}", changes, rank, 2)))
        ranks[-1].start()
    for rank, process in enumerate(ranks):
        process.join(PATIENCE)
        process.kill()
        assert process.exitcode == 0, (tmp_path / f"log{rank}").read_text()
    assert (tmp_path / "w/step3/learned_embeds.safetensors").is_file()
