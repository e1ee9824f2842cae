import json

import pytest

from diffkit.utils import pretrained
from diffkit.utils.pretrained import resolve_pretrained, unroll_pretrained
from diffkit.utils.step_folder import read_step_folder


def touch(path, content="{}"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pretrained, "MINIATURES", tmp_path / "installed")
    return tmp_path


def test_packaged_name(here):
    with pytest.raises(ValueError, match="'mini-sd' is a packaged name, but this installation has no"):
        resolve_pretrained("mini-sd")
    touch(here / "installed/mini_sd/model_index.json")
    assert resolve_pretrained("mini-sd") == here / "installed/mini_sd"


@pytest.mark.parametrize("name", ["mini_sd", "minisd", "mini-sf", "Mini-SD"])
def test_near_miss_of_a_packaged_name(here, name):
    with pytest.raises(ValueError, match="Did you mean 'mini-sd'"):
        resolve_pretrained(name)


def test_hub_ids_pass_through(here):
    for name in ("runwayml/stable-diffusion-v1-5", "segmind/small-sd", "stabilityai/sdxl-turbo"):
        assert resolve_pretrained(name) == name


def test_a_word_is_no_hub_id(here):
    with pytest.raises(ValueError, match=r"neither a packaged name \(mini-sd, mini-sdxl\), nor a folder"):
        resolve_pretrained("stable-diffusion")
    with pytest.raises(ValueError, match="pretrained ' ' is empty"):
        resolve_pretrained(" ")


def test_folders(here):
    touch(here / "owner/pipe/model_index.json")
    assert resolve_pretrained("owner/pipe") == pretrained.Path("owner/pipe")
    touch(here / "run/step9/unet/adapter_config.json")
    assert resolve_pretrained(here / "run/step9") == here / "run/step9"


def test_home_is_expanded(here, monkeypatch):
    monkeypatch.setenv("HOME", str(here))
    touch(here / "pipe/model_index.json")
    assert resolve_pretrained("~/pipe") == here / "pipe"


@pytest.mark.parametrize(("name", "message"), [
    ("./nowhere", "looks like a folder, but there is none"),
    ("run/step8", r"Did you mean 'run/step9'\?"),
    ("work_dir/a/step9", "looks like a folder"),
    ("elsewhere/step9", "looks like a folder"),
    ("run", "did you mean 'run/step100'"),
    ("pipe/unet", "one component of a pipeline: give 'pipe'"),
    ("stray", r"neither a diffusers folder .* It holds notes.txt, sub/\."),
    ("hollow", "It is empty"),
    ("model.safetensors", "is a file; a diffusers folder is needed"),
])
def test_clear_errors(here, name, message):
    for step in (9, 100):
        touch(here / f"run/step{step}/unet/adapter_config.json")
    touch(here / "pipe/model_index.json")
    touch(here / "pipe/unet/config.json")
    touch(here / "stray/notes.txt")
    (here / "stray/sub").mkdir()
    (here / "hollow").mkdir()
    touch(here / "model.safetensors")
    with pytest.raises(ValueError, match=message):
        resolve_pretrained(name)


def test_step_folder_of_adapters(tmp_path):
    touch(tmp_path / "text_encoder/adapter_config.json")
    touch(tmp_path / "unet/adapter_config.json", '{"base_model_name_or_path": "segmind/small-sd"}')
    touch(tmp_path / "pytorch_lora_weights.safetensors")
    step = read_step_folder(tmp_path)
    assert list(step.adapters) == ["unet", "text_encoder"] and not step.is_pipeline
    assert step.base == "segmind/small-sd" and step.lora_file.name == "pytorch_lora_weights.safetensors"
    assert step.describe().endswith(
        "an adapter of unet, an adapter of text_encoder; trained on 'segmind/small-sd'")
    touch(tmp_path / "diffkit.json", json.dumps({"base": "mini-sd"}))
    assert read_step_folder(tmp_path).base == "mini-sd"


def test_step_folder_of_nothing_and_damaged_json(tmp_path):
    assert read_step_folder(tmp_path) is None
    touch(tmp_path / "model_index.json")
    touch(tmp_path / "diffkit.json", "[1")
    with pytest.raises(ValueError, match=r"diffkit\.json cannot be read"):
        read_step_folder(tmp_path)


def test_unroll_to_the_whole_pipeline(here):
    touch(here / "pipe/model_index.json")
    touch(here / "a/step1/unet/adapter_config.json", '{"base_model_name_or_path": "pipe"}')
    touch(here / "b/step2/unet/adapter_config.json", '{"base_model_name_or_path": "a/step1"}')
    source, steps = unroll_pretrained("b/step2")
    assert str(source) == "pipe" and [str(step.path) for step in steps] == ["a/step1", "b/step2"]
    assert unroll_pretrained("pipe") == (pretrained.Path("pipe"), [])
    assert unroll_pretrained("owner/name") == ("owner/name", [])


def test_unroll_ends(here):
    touch(here / "a/step1/unet/adapter_config.json", '{"base_model_name_or_path": "a/step1"}')
    with pytest.raises(ValueError, match="its own base"):
        unroll_pretrained("a/step1")
    touch(here / "a/step1/unet/adapter_config.json", '{"base_model_name_or_path": "gone/step1"}')
    with pytest.raises(ValueError, match="looks like a folder, but there is none"):
        unroll_pretrained("a/step1")
    touch(here / "a/step1/unet/adapter_config.json")
    with pytest.raises(ValueError, match="does not say what they were trained on"):
        unroll_pretrained("a/step1")
