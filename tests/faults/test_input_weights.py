"""Models that somebody prepared: no code of theirs is run; and weights that are damaged are told in words."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from diffkit.models.families.sd import StableDiffusion
from diffkit.utils.pretrained import PretrainedError
from tests.faults.attacks import ATTACKS, attack_trial

UNET, VAE, TEXT = ("unet/diffusion_pytorch_model.safetensors", "vae/diffusion_pytorch_model.safetensors",
                   "text_encoder/model.safetensors")


@pytest.mark.parametrize("name", ATTACKS)
def test_no_code_is_run(sd_folder, tmp_path, name):
    trial = attack_trial(name, sd_folder, tmp_path)
    assert trial["faults"] == [] and trial["naive"]


@pytest.fixture
def model(sd_folder, tmp_path):
    shutil.copytree(sd_folder, tmp_path / "sd")
    return tmp_path / "sd"


def message(model, **options):
    with pytest.raises(PretrainedError) as caught:
        StableDiffusion(**options).load(model)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def changed(path, change):
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, metadata={"format": "pt"})


@pytest.mark.parametrize("file", [UNET, VAE, TEXT])
@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_weights_that_are_not_finite(model, file, value):
    changed(model / file, lambda tensors: next(iter(tensors.values())).view(-1)[-1].fill_(value))
    part = file.partition("/")[0]
    assert f"cannot be right: its {part} holds values that are not finite, in 1 of" in message(model)


@pytest.mark.parametrize("file", [UNET, VAE, TEXT])
def test_missing_weights_are_not_made_up(model, file):
    name = next(iter(load_file(model / file)))
    changed(model / file, lambda tensors: tensors.pop(name))
    assert f"its {file.partition('/')[0]} lacks 1 tensors that its config asks for, such as {name}" in message(model)


def test_weights_of_another_shape(model):
    changed(model / UNET, lambda tensors: tensors.update({"conv_in.weight": torch.zeros(2, 2)}))
    assert "conv_in.weight expected shape" in message(model)


def test_weights_of_another_shape_in_a_text_encoder(model):
    changed(model / TEXT, lambda tensors: tensors.update({"embeddings.position_embedding.weight": torch.zeros(2, 2)}))
    assert "its text_encoder has 1 tensors of another shape than its config says: " in message(model)


@pytest.mark.parametrize(("file", "content"), [
    (UNET, b""), (VAE, b"12345678"), (TEXT, (1 << 60).to_bytes(8, "little") + b"{}"),
    (UNET, b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")])
def test_files_that_are_no_weights(model, file, content):
    (model / file).write_bytes(content)
    assert f"has a damaged {file}: " in message(model)


def test_pickles_are_read_where_they_are_allowed_and_sound(model):
    torch.save(load_file(model / UNET), model / "unet/diffusion_pytorch_model.bin")
    torch.save(load_file(model / TEXT), model / "text_encoder/pytorch_model.bin")
    known = load_file(model / UNET)
    (model / UNET).unlink()
    (model / TEXT).unlink()
    assert "has only pickled weights (.bin) for unet, text_encoder" in message(model)
    parts = StableDiffusion(allow_pickle=True).load(model)
    assert torch.equal(parts["unet"].conv_in.weight, known["conv_in.weight"])


@pytest.mark.parametrize(("file", "content", "words"), [
    ("tokenizer/tokenizer.json", "{", "lacks its tokenizer, or it is damaged: "),
    ("tokenizer/tokenizer_config.json", "[]", "has a damaged tokenizer/tokenizer_config.json: a JSON object is"),
    ("unet/config.json", "[" * 100_000, "has a damaged unet/config.json: it is nested too deeply"),
    ("model_index.json", "{", "has a damaged model_index.json"),
])
def test_damaged_json(model, file, content, words):
    (model / file).write_text(content)
    assert words in message(model)


def test_a_tokenizer_of_another_model(model):
    config = json.loads((model / "text_encoder/config.json").read_text())
    rows = config["vocab_size"] - 5
    changed(model / TEXT, lambda tensors: tensors.update({name: value[:rows].clone() for name, value in tensors.items()
                                                          if name.endswith("token_embedding.weight")}))
    (model / "text_encoder/config.json").write_text(json.dumps(config | {"vocab_size": rows}))
    assert f"its tokenizer has ids up to {rows + 4}, and the text encoder has {rows} rows" in message(model)
