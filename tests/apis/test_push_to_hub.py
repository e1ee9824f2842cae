"""A step folder to a hub: what is sent, what is said of it, and what stays here. The hub is one on this machine."""

import json
import logging
import shlex

import pytest
import torch
from PIL import Image

from diffkit.apis import load_pipeline, push_to_hub
from diffkit.apis.hub_card import run_config
from diffkit.cli import main
from diffkit.export import write_artifacts
from diffkit.utils.images import read_png_metadata, save_png
from tests.apis.test_quantized_pictures import quantise
from tests.export.helpers import add_lora
from tests.tiny import tiny_sd, tiny_sd_pipeline
from tests.utils.hub import online
from tests.utils.hub_upload import uploading

TOKEN = "hf_" + "Secret" * 6
SMALL = {"block_out_channels": (16, 32), "layers_per_block": 1,
         "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
         "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D")}
BASE = "stable-diffusion-v1-5/stable-diffusion-v1-5"
CONFIG = """
model = dict(
    generation=dict(guidance_scale=4.0), objective=dict(type='diffkit.models.Denoising'),
    tuners=dict(unet=dict(component='unet', rank=4, type='diffkit.models.LoRATuner')))
optim_wrapper = dict(accumulative_counts=2, dtype='bfloat16', optimizer=dict(lr=0.0001, type='torch.optim.AdamW'))
train_cfg = dict(max_iters=500)
train_dataloader = dict(batch_size=3, dataset=dict(
    data_root='/home/me/photos/my dog', instance_prompt='a photo of sks dog', type='diffkit.datasets.ConceptDataset'))
randomness = dict(seed=7)
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    """The work folder of a LoRA on Stable Diffusion 1.5, with state and pictures; and a token that is logged in."""
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    pipe = tiny_sd_pipeline(unet=SMALL)
    adapter = add_lora(pipe, "unet", rank=4, alpha=3)
    step = tmp_path / "my_dog" / "step499"
    write_artifacts([type(adapter)("unet", adapter.module, BASE)], step, lambda: pipe, step=499,
                    prompts=["a photo of sks dog in a bucket"])
    (step / "state").mkdir()
    (step / "state/config.py").write_text(CONFIG)
    (step / "state/optimizer.safetensors").write_bytes(b"large")
    (step / "manifest.json").write_text("{}")
    (step / "notes.bin").write_bytes(b"a pickle")
    for number in (0, 500):
        save_png(Image.new("RGB", (8, 8), "red"), step.parent / f"samples/step{number:06d}_0_a-photo.png",
                 {"prompt": "a photo of sks dog", "seed": 3, "pretrained": "/home/me/models"})
    return step


def test_the_exports_go_to_the_hub_with_a_card_and_pictures(run, tmp_path, monkeypatch, capsys):
    metrics = tmp_path / "test.json"
    metrics.write_text(json.dumps({"concept/hit": 0.75, "concept/hit_se": 0.05, "concept/hit_n": 64}))
    with uploading(monkeypatch, TOKEN) as hub:
        assert main(["push_to_hub", str(run), "me/my-model", "--private", "--metrics", str(metrics)]) == 0
    assert capsys.readouterr().out.strip().endswith("/me/my-model")
    assert set(hub.files) == {"README.md", "diffkit.json", "pytorch_lora_weights.safetensors",
                              "unet/adapter_config.json", "unet/adapter_model.safetensors", "pictures/0_a-photo.png"}
    for name in ("unet/adapter_model.safetensors", "pytorch_lora_weights.safetensors"):
        assert hub.files[name] == (run / name).read_bytes()
    assert hub.created["visibility"] == "private" and hub.message == "step499 of diffkit"
    assert "PUT lfs" in hub.requests
    card = hub.files["README.md"].decode()
    for line in ("license: creativeml-openrail-m", f'base_model: "{BASE}"', "base_model_relation: adapter", "- lora",
                 "# my_dog", 'pipe.load_lora_weights("me/my-model")', "| data_root | my dog |", "| batch size | 3 |",
                 "| iterations | 500 of 500 |", "| optimizer | AdamW(lr=0.0001) |", "| seed | 7 |",
                 "| sampling | guidance_scale=4 |",
                 "| tuner unet | LoRATuner(component=unet, rank=4) |", "| concept/hit | 0.75 ± 0.05 (n = 64) |",
                 "![a photo of sks dog](pictures/0_a-photo.png)"):
        assert line in card, line
    assert "/home/me" not in card and "/home/me" not in hub.files["pictures/0_a-photo.png"].decode("latin-1")


def test_what_was_sent_loads(run, tmp_path, monkeypatch):
    base = tiny_sd(tmp_path / "base", unet=SMALL)
    with uploading(monkeypatch, TOKEN) as hub:
        push_to_hub(run, "me/my-model")
    folder = hub.save(tmp_path / "downloaded")
    pipes = [load_pipeline(base, [step], device="cpu") for step in (folder, run)]
    inputs = (torch.randn(1, 4, 8, 8), 3, torch.randn(1, 5, 32))
    with torch.no_grad():
        assert torch.equal(*(pipe.unet(*inputs).sample for pipe in pipes))
    about = Image.open(folder / "pictures/0_a-photo.png")
    assert about.size == (8, 8)
    assert read_png_metadata(folder / "pictures/0_a-photo.png") == {"prompt": "a photo of sks dog", "seed": 3}


def test_the_token_goes_to_the_hub_and_nowhere_else(run, tmp_path, monkeypatch, caplog, capsys):
    from mmengine.visualization import Visualizer

    told = []
    for name in ("add_config", "add_scalars", "add_image"):
        monkeypatch.setattr(Visualizer, name, lambda self, *args, **kwargs: told.append(args))
    with caplog.at_level(logging.DEBUG), uploading(monkeypatch, TOKEN) as hub:
        assert main(["push_to_hub", str(run), "me/my-model"]) == 0
    assert hub.tokens == {f"Bearer {TOKEN}"} and not told
    assert not any(TOKEN.encode() in data for data in hub.files.values())
    assert TOKEN not in caplog.text and TOKEN not in "".join(capsys.readouterr())
    import argparse

    from diffkit.commands.push_to_hub import add_arguments

    parser = argparse.ArgumentParser()
    add_arguments(parser)
    assert "token" not in parser.format_help(), "a token on a command line is in the history of the shell"


def test_a_file_with_a_token_is_not_sent(run, monkeypatch):
    path = run / "diffkit.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "prompts": [f"login {TOKEN}"]}))
    wanted = r"(README\.md|diffkit\.json) would hold a token"
    with uploading(monkeypatch, TOKEN) as hub, pytest.raises(ValueError, match=wanted):
        push_to_hub(run, "me/my-model")
    assert not hub.requests


def test_refusals_of_the_hub_are_said(run, monkeypatch, capsys):
    with uploading(monkeypatch, "hf_another") as hub:
        assert main(["push_to_hub", str(run), "me/my-model"]) == 1
    error = capsys.readouterr().err
    assert "refused to take me/my-model (status 401): log in" in error and TOKEN not in error and not hub.files
    online(monkeypatch, "http://127.0.0.1:9")  # nothing listens there
    assert main(["push_to_hub", str(run), "me/my-model"]) == 1
    assert "the hub cannot be reached" in capsys.readouterr().err


def test_private_exports_do_not_go_to_a_public_repository(run, monkeypatch):
    with uploading(monkeypatch, TOKEN) as hub:
        hub.public = True
        with pytest.raises(ValueError, match="--private: me/my-model is there already, and public"):
            push_to_hub(run, "me/my-model", private=True)
        assert not hub.files
        push_to_hub(run, "me/my-model")
    assert hub.files


def test_a_dry_run_sends_nothing(run, tmp_path, monkeypatch):
    with uploading(monkeypatch, TOKEN) as hub:
        folder = push_to_hub(run, "me/my-model", dry_run=tmp_path / "dry", license="mit")
    assert not hub.requests and "license: mit" in (tmp_path / "dry/README.md").read_text() and folder.endswith("dry")
    with pytest.raises(ValueError, match="holds something"):
        push_to_hub(run, "me/my-model", dry_run=tmp_path / "dry")


def test_a_base_that_others_do_not_have_is_refused(run, tmp_path):
    for name, key in (("diffkit.json", "base"), ("unet/adapter_config.json", "base_model_name_or_path")):
        content = json.loads((run / name).read_text())
        (run / name).write_text(json.dumps({**content, key: "/home/me/models/sd15"}))
    with pytest.raises(ValueError, match="which others do not have"):
        push_to_hub(run, "me/my-model", dry_run=tmp_path / "a")
    push_to_hub(run, "me/my-model", dry_run=tmp_path / "b", base_model="me/sd15")
    assert "/home/me" not in "".join(path.read_text() for path in (tmp_path / "b").rglob("*.json"))
    card = (tmp_path / "b/README.md").read_text()
    assert 'base_model: "me/sd15"' in card and "\nlicense:" not in card and "None was given" in card


def test_whole_pipelines_and_arguments(run, tmp_path):
    pipeline = tiny_sd(tmp_path / "whole" / "pipe", unet=SMALL)
    push_to_hub(pipeline, "me/my-model", dry_run=tmp_path / "dry")
    card = (tmp_path / "dry/README.md").read_text()
    assert '.from_pretrained("me/my-model")' in card and "base_model" not in card
    assert (tmp_path / "dry/unet/diffusion_pytorch_model.safetensors").is_file()
    for name in ("model_index.json", "unet/config.json", "vae/config.json"):
        content = json.loads((pipeline / name).read_text())
        (pipeline / name).write_text(json.dumps({**content, "_name_or_path": "/home/me/sd"}))
    push_to_hub(pipeline, "me/my-model", dry_run=tmp_path / "named")
    assert "/home/me" not in "".join(path.read_text() for path in (tmp_path / "named").rglob("*.json"))
    with pytest.raises(ValueError, match="must be owner/name"):
        push_to_hub(run, "my-model")
    with pytest.raises(ValueError, match="no folder with something"):
        push_to_hub(tmp_path, "me/my-model")
    with pytest.raises(ValueError, match="no file"):
        push_to_hub(run, "me/my-model", metrics=[tmp_path / "none.json"])


def test_a_quantised_unet_says_how_near_it_is_to_the_float_one(run, tmp_path):
    step = tmp_path / "qat" / "step1"
    quantise(step, tiny_sd(tmp_path / "base", unet=SMALL))
    kept = {"error": 0.00142, "error_se": 0.00025, "psnr": 38.26, "psnr_se": 1.4}
    (step.parent / "quantization.json").write_text(json.dumps({"calibrated": kept, "kept": "calibrated"}))
    push_to_hub(step, "me/my-model", base_model=BASE, dry_run=tmp_path / "dry")
    card = (tmp_path / "dry/README.md").read_text()
    for line in ("base_model_relation: quantized", "- quantized", "diffkit text2images --quantized my-model",
                 "| squared error of predictions, relative to the float model | 0.00142 ± 0.00025 |",
                 "| PSNR of pictures to the float model's, dB | 38.26 ± 1.4 |"):
        assert line in card, line
    assert "from diffusers" not in card, "diffusers cannot read it"
    sent = {path.relative_to(tmp_path / "dry").as_posix() for path in (tmp_path / "dry").rglob("*") if path.is_file()}
    assert sent == {"README.md", "diffkit.json", *(f"unet_int8/{name}" for name in (
        "quantization.json", "quantized.safetensors", "proof.safetensors"))}
    assert str(tmp_path) not in "".join(path.read_text() for path in (tmp_path / "dry").rglob("*.json"))


def test_the_command_on_the_card_takes_any_prompt(run, tmp_path):
    path, prompt = run / "diffkit.json", "a \"$5\" bill of `me`, it's new"
    path.write_text(json.dumps({**json.loads(path.read_text()), "prompts": [prompt]}))
    push_to_hub(run, "me/my-model", dry_run=tmp_path / "dry")
    (line,) = [line for line in (tmp_path / "dry/README.md").read_text().splitlines() if "--caption" in line]
    assert shlex.split(line)[-1] == prompt and "$" not in line.partition("'")[0]


def test_data_of_several_concepts_are_on_the_card(run, tmp_path):
    text = (run / "state/config.py").read_text().replace("data_root='/home/me/photos/my dog',", """concepts=[
        dict(data_root='/home/me/photos/my dog', placeholder='<dog>'), dict(data_root='data/pot')], prior=None,""")
    (run / "state/config.py").write_text(text)
    push_to_hub(run, "me/my-model", dry_run=tmp_path / "dry")
    card = (tmp_path / "dry/README.md").read_text()
    assert "| concepts | data_root=my dog, placeholder=&lt;dog&gt;; data_root=data/pot |" in card
    assert "/home/me" not in card and "| prior |" not in card


def test_configs_are_read_as_data(run, tmp_path):
    assert run_config(run)["train_dataloader"]["batch_size"] == 3
    (run / "state/config.py").write_text("import os\nseed = dict(a=os.system('touch ran'))\n")
    assert run_config(run) == {} and run_config(tmp_path) == {}
