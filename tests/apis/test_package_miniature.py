"""Packaging: a small folder that anybody can read, with the pictures of the trained weights."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from diffkit.apis import build_miniature, package_miniature
from diffkit.apis.build_miniature import provenance
from diffkit.apis.load_pipeline import load_pipeline
from tests.tiny import tiny_sd_pipeline


@pytest.fixture(scope="module")
def packaged(sd_folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("miniatures") / "mini"
    (out / "old").mkdir(parents=True)
    facts = package_miniature.package_miniature(
        sd_folder, out, name="mini-test", provenance={"seed": 7}, figures="| sc | 1.0 |")
    return out, facts


def test_the_folder_is_small_and_plain(packaged):
    out, facts = packaged
    files = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert {"README.md", "model_index.json", "unet/diffusion_pytorch_model.safetensors", "tokenizer/vocab.json",
            "tokenizer/merges.txt", "tokenizer/tokenizer.json"} <= files
    assert {Path(name).suffix for name in files} == {".md", ".json", ".safetensors", ".txt"}
    assert not (out / "old").exists() and [path.name for path in out.parent.iterdir()] == ["mini"]
    assert facts["bytes"] == sum((out / name).stat().st_size for name in files) <= package_miniature.MAX_BYTES
    assert all((out / name).stat().st_mode & 0o044 == 0o044 for name in files), "others can read it too"


def test_no_file_names_the_folder_that_it_came_from(packaged, sd_folder):
    out, _ = packaged
    for path in out.rglob("*.json"):
        assert str(sd_folder.parent) not in path.read_text(), path


def test_weights_are_float16_and_pictures_stay(packaged, sd_folder):
    from diffusers import DiffusionPipeline
    from safetensors.torch import load_file

    out, facts = packaged
    for path in out.glob("*/*.safetensors"):
        assert {value.dtype for value in load_file(path).values() if value.is_floating_point()} == {torch.float16}
    assert facts["psnr"] >= package_miniature.LEAST_PSNR
    pipe = DiffusionPipeline.from_pretrained(out)
    assert {pipe.unet.dtype, pipe.vae.dtype, pipe.text_encoder.dtype} == {torch.float32}
    assert type(pipe.scheduler).__name__ == "DPMSolverMultistepScheduler"
    own = load_pipeline(sd_folder, device="cpu").tokenizer
    assert pipe.tokenizer("a photo of a dog").input_ids == own("a photo of a dog").input_ids


def test_the_vocabulary_files_say_what_the_tokenizer_says(packaged):
    out, _ = packaged
    model = json.loads((out / "tokenizer" / "tokenizer.json").read_text())["model"]
    assert json.loads((out / "tokenizer" / "vocab.json").read_text()) == model["vocab"]
    lines = (out / "tokenizer" / "merges.txt").read_text().splitlines()
    assert lines[0].startswith("#version") and len(lines) == 1 + len(model["merges"])


def test_the_card_has_provenance_and_figures(packaged):
    text = (packaged[0] / "README.md").read_text()
    assert "license: apache-2.0" in text and "- seed: 7" in text and "| sc | 1.0 |" in text


def test_a_folder_that_is_too_large_does_not_replace_the_old_one(packaged, sd_folder, monkeypatch):
    out, _ = packaged
    monkeypatch.setattr(package_miniature, "MAX_BYTES", 1000)
    with pytest.raises(ValueError, match="at most 1,000 are allowed"):
        package_miniature.package_miniature(sd_folder, out)
    assert "mini-test" in (out / "README.md").read_text()
    assert [path.name for path in out.parent.iterdir()] == ["mini"]


def test_another_decoder_is_taken_and_another_encoder_is_refused(sd_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(package_miniature, "_paint", lambda pipe: [])
    monkeypatch.setattr(package_miniature, "_agreement", lambda before, after: 60.0)
    pipe = tiny_sd_pipeline()
    with torch.no_grad():
        pipe.vae.decoder.conv_out.bias.fill_(0.25)
    pipe.vae.register_to_config(scaling_factor=7.0)
    pipe.save_pretrained(tmp_path / "decoder")
    package_miniature.package_miniature(sd_folder, tmp_path / "out", vae=tmp_path / "decoder")
    vae = load_pipeline(tmp_path / "out", device="cpu").vae
    assert torch.all(vae.decoder.conv_out.bias == 0.25)
    assert vae.config.scaling_factor == load_pipeline(sd_folder, device="cpu").vae.config.scaling_factor
    with torch.no_grad():
        pipe.vae.encoder.conv_in.bias.fill_(0.25)
    pipe.save_pretrained(tmp_path / "encoder")
    with pytest.raises(ValueError, match=r"the encoder of .* is not the one .* \(encoder.conv_in.bias differs\)"):
        package_miniature.package_miniature(sd_folder, tmp_path / "out", vae=tmp_path / "encoder")


def step_folder(folder, pretrained, iterations, **config):
    (folder / "state").mkdir(parents=True)
    config = {"train_dataloader.batch_size": "8", "model.pretrained": repr(pretrained), **config}
    (folder / "state" / "state.json").write_text(
        json.dumps({"step": iterations - 1, "seed": 5, "config": config}))
    (folder / "diffkit.json").write_text(json.dumps({"versions": {"torch": "2.0"}}))
    return folder


def test_provenance_follows_the_trainings_back(tmp_path):
    vae = step_folder(tmp_path / "mini_sd_vae" / "step9", None, 10)
    unet = step_folder(tmp_path / "mini_sd_unet" / "step4", str(vae), 5)
    assert list(provenance([unet]).items()) == [
        ("`mini_sd_vae`", "10 iterations of batch 8, seed 5"),
        ("`mini_sd_unet`", "5 iterations of batch 8, seed 5"), ("versions", "torch 2.0")]
    assert provenance([tmp_path]) == {}
    grown = step_folder(tmp_path / "mini_sdxl_unet" / "step1", None, 2, **{"model.family.grown_from": repr(str(unet))})
    assert list(provenance([grown]))[:3] == ["`mini_sd_vae`", "`mini_sd_unet`", "`mini_sdxl_unet`"]


def test_provenance_names_the_packaged_miniature_that_a_training_began_with(tmp_path):
    grown = step_folder(tmp_path / "mini_sdxl_unet" / "step1", None, 2, **{"model.family.grown_from": "'mini-sd'"})
    assert list(provenance([grown]).items()) == [
        ("`mini-sd`", "as it is packaged; its card says how it was made"),
        ("`mini_sdxl_unet`", "2 iterations of batch 8, seed 5"), ("versions", "torch 2.0")]


def test_the_parts_are_trained_in_order_each_on_the_one_before(tmp_path, monkeypatch):
    trained, packed = [], []

    def train_part(name, root, options, processes, say):
        trained.append((name, options.get("model.pretrained"), processes))
        return root / name / "step9"

    monkeypatch.setattr(build_miniature, "train_part", train_part)
    monkeypatch.setattr(build_miniature, "package", lambda step, out, **more: packed.append((step, out, more)))
    build_miniature.build_miniature("out", work_dir=tmp_path, figures="f.md")
    names = ["mini_sd_vae", "mini_sd_decoder", "mini_sd_decoder_last",
             "mini_sd_unet", "mini_sd_unet_longer", "mini_sd_unet_last"]
    steps = [tmp_path / name / "step9" for name in names]
    before = [None, *map(str, steps[:-1])]
    assert trained == list(zip(names, before, [1, 1, 1, 1, 2, 2], strict=True))
    assert packed == [(steps[-1], "out", {"name": "mini-sd", "figures": "f.md"})]
    trained.clear()
    build_miniature.build_miniature("out", name="mini-sdxl", work_dir=tmp_path, figures="f.md")
    first, last = (tmp_path / name / "step9" for name in ("mini_sdxl_unet", "mini_sdxl_unet_last"))
    assert trained[0] == ("mini_sdxl_unet", None, 1), "it begins with mini-sd, as its config says"
    assert trained[1:] == [("mini_sdxl_unet_last", str(first), 1)]
    assert packed[1] == (last, "out", {"name": "mini-sdxl", "figures": "f.md"})


def test_a_part_that_is_trained_is_not_trained_again(tmp_path, monkeypatch):
    from diffkit.engine import manifest

    step = tmp_path / "mini_sd_vae" / "step2"
    step.mkdir(parents=True)
    monkeypatch.setattr(manifest, "verify_checkpoint", lambda folder: [])
    lines = []
    options = {"train_cfg.max_iters": 3}
    assert build_miniature.train_part("mini_sd_vae", tmp_path, options, say=lines.append) == step
    assert lines == [f"mini_sd_vae: {step} is there"]


def test_several_processes_train_one_part(sd_folder, tmp_path):
    """Two gloo processes take the options as they were given, and leave the last step folder."""
    options = {"model.pretrained": str(sd_folder), "train_cfg.max_iters": 2, "train_dataloader.batch_size": 1,
               "train_dataloader.dataset.length": 4, "param_scheduler": [], "custom_hooks": []}
    step = build_miniature.train_part("mini_sd_unet_longer", tmp_path, options, 2)
    record = json.loads((step / "state" / "state.json").read_text())
    assert (record["step"], record["world_size"]) == (1, 2)
    assert provenance([step])["`mini_sd_unet_longer`"] == "2 iterations of batch 1 in each of 2 processes, seed 0"


def test_processes_that_fail_are_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(build_miniature.subprocess, "run", lambda command: SimpleNamespace(returncode=3))
    with pytest.raises(RuntimeError, match="mini_sd_unet: the training in 2 processes ended with status 3"):
        build_miniature.train_part("mini_sd_unet", tmp_path, {"model.pretrained": "mini-sd"}, 2)
