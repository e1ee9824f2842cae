"""Several step folders at a time, of any kind, each with a weight; and all of them in one pipeline."""

import json

import pytest
import torch
from diffusers import DiffusionPipeline

from diffkit import cli
from diffkit.apis import load_pipeline, merge_into_pipeline, text_to_image
from diffkit.export import EmbeddingArtifact, write_artifacts
from diffkit.models import LatentDiffusion
from diffkit.models.tuners.adapter_kinds import KINDS
from diffkit.utils.images import read_png_metadata
from tests.export.adapters import write_step
from tests.export.helpers import picture, unet_output
from tests.tiny import tiny_sd, tiny_sd_pipeline, tiny_sdxl

LAYER = "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"


def change(folder, base, kind, seed=0):
    """Writes a step folder, and gives what it changes of one weight."""
    pipe = write_step(folder, kind, base, components=("unet",), seed=seed)
    layer = pipe.unet.get_submodule(LAYER)
    before = layer.get_base_layer().weight.detach().clone()
    layer.merge()
    return layer.get_base_layer().weight.detach() - before


@pytest.fixture(scope="module")
def steps(sd_folder, tmp_path_factory):
    """A step folder of each kind and what it changes, and a word in one of its own."""
    run = tmp_path_factory.mktemp("run")
    changes = {kind: change(run / kind, sd_folder, kind, seed) for seed, kind in enumerate(KINDS)}
    word = torch.randn(2, 32, generator=torch.Generator().manual_seed(0))
    write_artifacts([EmbeddingArtifact("<toy>", (("text_encoder", lambda: word),), str(sd_folder))], run / "word",
                    tiny_sd_pipeline)
    return run, changes


def change_of(base, step):
    """What a step folder alone changes of a weight."""
    merged = load_pipeline(base, [step], weights=[2], device="cpu")
    return (weight_of(merged) - weight_of(tiny_sd_pipeline())) / 2


def weight_of(pipe):
    return pipe.unet.get_submodule(LAYER).weight.detach()


@pytest.mark.parametrize("kinds", [("lora", "dora"), ("oft", "lora"), ("loha", "lokr"), ("dora", "oft")], ids=" ".join)
def test_changes_are_added_up_with_their_weights(sd_folder, steps, kinds):
    run, changes = steps
    weights = (0.5, -0.25)
    pipe = load_pipeline(sd_folder, [run / kind for kind in kinds], weights=weights, device="cpu")
    expected = weight_of(tiny_sd_pipeline()) + sum(w * changes[kind] for w, kind in zip(weights, kinds, strict=True))
    torch.testing.assert_close(weight_of(pipe), expected, rtol=0, atol=1e-6)
    other = load_pipeline(None, [run / kind for kind in kinds[::-1]], weights=weights[::-1], device="cpu")
    torch.testing.assert_close(unet_output(other), unet_output(pipe), rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_weight_of_one_is_as_trained_and_of_zero_the_base(sd_folder, steps, kind):
    run, _ = steps
    alone = unet_output(load_pipeline(steps=[run / kind], device="cpu"))
    with_none = load_pipeline(sd_folder, [run / kind, run / "lora" if kind != "lora" else run / "loha"],
                              weights=[1, 0], device="cpu")
    torch.testing.assert_close(unet_output(with_none), alone, rtol=0, atol=1e-5)
    base = unet_output(load_pipeline(sd_folder, [run / kind], weights=[0], device="cpu"))
    torch.testing.assert_close(base, unet_output(tiny_sd_pipeline()), rtol=0, atol=1e-6)


def test_short_formats_are_rounded_once(sd_folder, steps):
    run, changes = steps
    pipe = load_pipeline(sd_folder, [run / "lora", run / "oft"], weights=[0.5, 0.5], device="cpu", dtype="bfloat16")
    base = weight_of(tiny_sd_pipeline()).bfloat16().float()
    expected = base + 0.5 * changes["lora"] + 0.5 * changes["oft"]
    assert weight_of(pipe).dtype == torch.bfloat16
    assert (weight_of(pipe).float() - expected).abs().max() <= 2 ** -8 * expected.abs().max()


def test_one_that_was_trained_on_another_lies_on_it(sd_folder, tmp_path):
    """In both ways to name them, and in a training that goes on from there."""
    write_step(tmp_path / "first", "dora", sd_folder, seed=1)
    write_step(tmp_path / "second", "dora", tmp_path / "first", seed=2)
    model = LatentDiffusion(family={"type": "StableDiffusion"}, pretrained=str(tmp_path / "second"),
                            tuners={"x": {"type": "LoRATuner"}})
    expected = unet_output(model.pipeline())
    for steps in ([tmp_path / "second"], [tmp_path / "first", tmp_path / "second"]):
        shown = unet_output(load_pipeline(steps=steps, device="cpu"))
        torch.testing.assert_close(shown, expected, rtol=0, atol=1e-5)
    beside = load_pipeline(sd_folder, [tmp_path / "second"], device="cpu")
    assert not torch.allclose(unet_output(beside), expected, atol=1e-3)
    write_step(tmp_path / "third", "lora", sd_folder, seed=3)
    with pytest.raises(ValueError, match=r"second was trained on the step folder '.*first': give that too, before it"):
        load_pipeline(steps=[tmp_path / "third", tmp_path / "second"], device="cpu")
    with pytest.raises(ValueError, match=r"second was trained on .*first', and not on .*third: name it right behind"):
        load_pipeline(steps=[tmp_path / name for name in ("first", "third", "second")], device="cpu")
    three = [tmp_path / name for name in ("first", "second", "third")]
    third = change_of(sd_folder, three[2])
    torch.testing.assert_close(weight_of(load_pipeline(steps=three, device="cpu")),
                               weight_of(model.pipeline()) + third, rtol=0, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_merged_pipeline_shows_the_same(sd_folder, steps, tmp_path, dtype):
    run, _ = steps
    some = [run / "dora", run / "lokr", run / "word"]
    live = load_pipeline(sd_folder, some, weights=[0.7, 1, 1], device="cpu", scheduler=None)
    folder = merge_into_pipeline(some, tmp_path / "merged", weights=[0.7, 1, 1], pretrained=sd_folder, dtype=dtype)
    plain = DiffusionPipeline.from_pretrained(folder, torch_dtype=torch.float32)
    assert not hasattr(plain.unet, "peft_config") and "<toy>" in plain.tokenizer.get_vocab()
    close = {"rtol": 0, "atol": 1e-6 if dtype == "float32" else 2e-2}
    torch.testing.assert_close(unet_output(plain), unet_output(live), **close)
    if dtype == "float32":
        torch.testing.assert_close(picture(plain), picture(live), rtol=0, atol=1e-5)
        assert type(plain.scheduler).__name__ == "DPMSolverMultistepScheduler"
    assert json.loads((folder / "diffkit.json").read_text())["holds"] == [{"kind": "pipeline"}]
    torch.testing.assert_close(unet_output(load_pipeline(folder, device="cpu")), unet_output(plain))


def test_the_command(steps, tmp_path, capsys):
    run, _ = steps
    line = f"merge_adapters {run / 'lora'} {run / 'oft'} --weight 1 0.5 --out {tmp_path / 'm'}"
    assert cli.main(line.split()) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'm'}\n"
    assert cli.main(line.split()) == 1
    assert "is there already and holds something" in capsys.readouterr().err


def test_pictures_tell_their_weights(sd_folder, steps, tmp_path):
    run, _ = steps
    files = text_to_image(sd_folder, [run / "lora", run / "word"], ["a <toy>"], weights=[0.5, 1], height=32, width=32,
                          num_inference_steps=1, device="cpu", out=tmp_path / "p.png")
    assert read_png_metadata(files[0])["weights"] == [0.5, 1]


@pytest.mark.parametrize(("names", "weights", "message"), [
    (["lora"], [1, 2], "weights: 2 for 1 steps"),
    (["lora"], [float("nan")], "is no finite number"),
    (["word"], [0.5], r"weights: 0\.5 for .*word, which holds nothing to be weighed"),
    (["word", "word"], None, "is a token of .* already.* Is it there twice"),
    (["lora", "lora"], [1, 2], "lora is there twice; give it once"),
    (["sdxl"], None, "trained on .*SDXL.* another structure|which .* lacks"),
    (["smaller", "lora"], [1, 1], "another structure")])
def test_what_cannot_be_put_together(sd_folder, steps, tmp_path, names, weights, message):
    run, _ = steps
    if "sdxl" in names:
        write_step(tmp_path / "sdxl", "lora", tiny_sdxl(tmp_path / "SDXL"), "sdxl", ("unet", "text_encoder_2"))
    if "smaller" in names:
        small = tiny_sd(tmp_path / "small", unet={"layers_per_block": 1})
        pipe = DiffusionPipeline.from_pretrained(small)
        from tests.export.adapters import add_adapter

        write_artifacts([add_adapter(pipe, "unet", "lora")], tmp_path / "smaller", lambda: pipe)
    folders = [tmp_path / name if (tmp_path / name).exists() else run / name for name in names]
    with pytest.raises(ValueError, match=message):
        load_pipeline(sd_folder, folders, weights=weights, device="cpu")
