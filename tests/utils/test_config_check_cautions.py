"""What is said about a config that has no faults."""

from pathlib import Path

from diffkit import cli
from diffkit.utils.config_check import check_config, find_cautions

CAUTION = """
from diffkit.datasets import ConceptDataset, DrawSampler, collate_samples
from diffkit.models import LatentDiffusion, LoRATuner, StableDiffusion

model = dict(
    type=LatentDiffusion,
    family=dict(type=StableDiffusion),
    pretrained="mini-sd",
    tuners=dict(unet=dict(type=LoRATuner)))
train_dataloader = dict(
    dataset=dict(type=ConceptDataset, data_root="shapes:striped_heart", instance_prompt="a heart"),
    sampler=dict(type=DrawSampler),
    collate_fn=dict(type=collate_samples))
train_cfg = dict(max_iters=1)
optim_wrapper = dict(optimizer=dict(type="AdamW"))
"""


def cautions_of(path: Path, **options: object) -> list[str]:
    dotted = {key.replace("__", "."): value for key, value in options.items()}
    return [str(caution) for caution in find_cautions(check_config(path, dotted), dotted)]


def test_pictures_of_another_size_than_the_models_are_warned_of(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "tiny.py"
    path.write_text(CAUTION)
    key = "train_dataloader.dataset.resolution"
    (default,) = cautions_of(path)
    assert default.startswith(f"tiny.py:11: {key}: the pictures are 512 x 512 px, and model.pretrained='mini-sd'")
    assert "was made for 64 x 64 px" in default
    assert cautions_of(path, train_dataloader__dataset__resolution=64) == []
    (option,) = cautions_of(path, train_dataloader__dataset__resolution=96)
    assert option.startswith(f"--cfg-options: {key}: the pictures are 96 x 96 px")
    hub = "stabilityai/stable-diffusion-xl-base-1.0"
    (other,) = cautions_of(path, model__pretrained=hub)
    assert f"model.pretrained='{hub}' was made for 1024 x 1024 px" in other
    assert cautions_of(path, model__pretrained="owner/unknown") == []
    path.write_text(CAUTION.replace('heart")', 'heart", transforms=[dict(type="CenterCrop", size=64)])'))
    assert cautions_of(path) == []


def test_a_model_from_scratch_says_its_size_too(tmp_path):
    text = CAUTION.replace(
        'family=dict(type=StableDiffusion),\n    pretrained="mini-sd"',
        "family=dict(type=StableDiffusion, scratch=dict(unet=dict(sample_size=8), tokenizer=dict(corpus=['a']), "
        "text_encoder=dict(), vae=dict(block_out_channels=(8,) * 3))), pretrained=None",
    )
    path = tmp_path / "scratch.py"
    path.write_text(text)
    (caution,) = cautions_of(path)
    assert "model.family.scratch was made for 32 x 32 px" in caution


def test_the_command_says_it_and_finds_no_fault(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("tiny.py").write_text(CAUTION)
    assert cli.main(["check", "tiny.py"]) == 0
    said = capsys.readouterr()
    assert said.out == "tiny.py: no faults\n"
    assert said.err.startswith("warning: tiny.py:11: train_dataloader.dataset.resolution: the pictures are 512 x 512")
    assert cli.main(["check", "tiny.py", "--cfg-options", "train_dataloader.dataset.resolution=64"]) == 0
    assert capsys.readouterr().err == ""
    options = ["train_dataloader.dataset.resolution=64", "train_dataloader.dataset.center_crop=False"]
    assert cli.main(["check", "tiny.py", "--cfg-options", *options]) == 0
    assert capsys.readouterr().err.startswith(
        "note: tiny.py:5: model.cache_latents: is off with random crops (train_dataloader.dataset.center_crop=False)")
    assert cli.main(["check", "tiny.py", "--cfg-options", *options, "model.cache_latents=disk"]) == 1
    assert "--cfg-options: model.cache_latents: cannot be 'disk' with random crops" in capsys.readouterr().err
    assert cli.main(["check", "tiny.py", "--cfg-options", "model.cache_latents=dsik"]) == 1
    assert "model.cache_latents" in capsys.readouterr().err
