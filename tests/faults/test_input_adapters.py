"""Adapters and learned vectors that somebody prepared: nothing in them is run, and faults are said in words."""

import json
import shutil
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

from diffkit.export import apply_adapters, apply_embeddings, write_artifacts
from diffkit.models import LatentDiffusion
from diffkit.utils.step_folder import read_step_folder
from tests.faults.payloads import edit_json, module, pickled, safetensors, tar_upwards, torch_file
from tests.tiny import tiny_sd_pipeline

WEIGHTS = "unet/adapter_model.safetensors"


@pytest.fixture(scope="module")
def pipe():
    return tiny_sd_pipeline()


@pytest.fixture(scope="module")
def sound(sd_folder, tmp_path_factory):
    """A step folder with a LoRA of the UNet. Do not write into it."""
    model = LatentDiffusion(family={"type": "StableDiffusion"}, pretrained=str(sd_folder),
                            tuners={"unet": {"type": "LoRATuner", "rank": 2}})
    folder = tmp_path_factory.mktemp("adapters") / "step9"
    write_artifacts(model.artifacts(), folder, model.pipeline)
    return folder


@pytest.fixture
def step(sound, tmp_path):
    shutil.copytree(sound, tmp_path / "step9")
    return tmp_path / "step9"


@pytest.fixture
def marker(tmp_path):
    return tmp_path / "executed"


def refused(pipe, step, marker):
    """The message with which a step folder is refused; its payload has not been run."""
    with pytest.raises(ValueError) as caught:
        apply_adapters(pipe.components, read_step_folder(step), "tiny")
    assert not marker.exists() and "\n" not in str(caught.value)
    return str(caught.value)


def test_a_pickled_adapter_is_never_read(pipe, step, marker):
    (step / WEIGHTS).unlink()
    (step / "unet" / "adapter_model.bin").write_bytes(torch_file(marker))
    assert "no adapter_model.safetensors; adapter_model.bin is never read" in refused(pipe, step, marker)
    torch.load(step / "unet" / "adapter_model.bin", weights_only=False)
    assert marker.exists(), "the file is dangerous where it is loaded naively"


def misshapen(marker):
    return safetensors({"a": {"dtype": "F32", "shape": [9], "data_offsets": [0, 4]}}, bytes(4))


@pytest.mark.parametrize(("make", "words"), [
    (pickled, "it is a pickle"), (torch_file, "it is a zip archive"), (tar_upwards, "it is a tar archive"),
    (lambda marker: b"", "the file has 0"), (misshapen, "invalid shape")])
def test_what_is_no_safetensors_file_is_named(pipe, step, marker, make, words):
    (step / WEIGHTS).write_bytes(make(marker))
    message = refused(pipe, step, marker)
    assert f"{step / WEIGHTS} is no sound safetensors file: " in message and words in message


def changed(step, change):
    tensors = load_file(step / WEIGHTS)
    change(tensors)
    save_file(tensors, step / WEIGHTS)


def test_values_that_are_not_finite(pipe, step, marker):
    for value in (float("nan"), float("inf")):
        changed(step, lambda tensors, value=value: next(iter(tensors.values())).view(-1)[0].fill_(value))
        assert "holds values that are not finite, in 1 of" in refused(pipe, step, marker)


def test_missing_and_misshapen_tensors(pipe, step, marker):
    changed(step, lambda tensors: tensors.pop(next(iter(tensors))))
    assert "does not fit 'tiny': 1 of" in refused(tiny_sd_pipeline(), step, marker)
    changed(step, lambda tensors: tensors.update({name: torch.zeros(3, 3) for name in list(tensors)[:2]}))
    assert "does not fit 'tiny': 3 of" in refused(tiny_sd_pipeline(), step, marker)


@pytest.mark.parametrize(("change", "words"), [
    ({"auto_map": {"AutoModel": "evil.Evil"}}, "asks for code of its own in adapter_config.json: auto_map"),
    ({"megatron_config": {"a": 1}, "megatron_core": "evil"}, "code of its own in adapter_config.json: megatron_config"),
    ({"peft_type": "EVIL"}, "has a config that PEFT cannot read"),
    ({"peft_type": None}, "has a config that PEFT cannot read"),
])
def test_configs_of_adapters(pipe, step, marker, monkeypatch, change, words):
    (step / "unet" / "evil.py").write_text(module(marker))
    (step.parent / "evil.py").write_text(module(marker))
    monkeypatch.syspath_prepend(str(step.parent))
    edit_json(step / "unet" / "adapter_config.json", **change)
    assert words in refused(pipe, step, marker)
    __import__("evil")
    sys.modules.pop("evil")
    assert marker.exists(), "the module is dangerous where it is imported"


@pytest.mark.parametrize(("file", "content", "words"), [
    ("diffkit.json", "[" * 100_000, "diffkit.json cannot be read: it is nested too deeply"),
    ("diffkit.json", "[]", "diffkit.json cannot be read: a JSON object is expected"),
    ("diffkit.json", '{"base": ["a"]}', "base is ['a']"),
    ("diffkit.json", '{"base": "tiny", "structure": 7}', "diffkit.json is damaged: structure"),
    ("diffkit.json", '{"base": "tiny", "structure": {"unet": {}}}', "diffkit.json is damaged: structure"),
    ("unet/adapter_config.json", "{", "adapter_config.json cannot be read"),
    ("unet/adapter_config.json", json.dumps({"a": "b" * 5_000_000}), "allowed are 5000000"),
])
def test_json_that_is_damaged(pipe, step, marker, file, content, words):
    if file != "diffkit.json":
        (step / "diffkit.json").unlink()
    (step / file).write_text(content)
    assert words in refused(pipe, step, marker)


@pytest.mark.parametrize(("make", "words"), [(pickled, "it is a pickle"), (torch_file, "it is a zip archive")])
def test_learned_vectors_are_safetensors(pipe, tmp_path, marker, make, words):
    (tmp_path / "learned_embeds.safetensors").write_bytes(make(marker))
    with pytest.raises(ValueError, match=f"learned_embeds.safetensors is no sound safetensors file: {words}"):
        apply_embeddings(pipe.components, read_step_folder(tmp_path), "tiny")
    (tmp_path / "learned_embeds.safetensors").unlink()
    for name in ("learned_embeds.bin", "learned_embeds.pt"):
        (tmp_path / name).write_bytes(make(marker))
    assert read_step_folder(tmp_path) is None and not marker.exists()
    save_file({"<toy>": torch.full((1, 32), float("nan"))}, tmp_path / "learned_embeds.safetensors")
    with pytest.raises(ValueError, match="holds values that are not finite, in 1 of 1 tensors; the first is '<toy>'"):
        apply_embeddings(pipe.components, read_step_folder(tmp_path), "tiny")
