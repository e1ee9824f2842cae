"""Configs of a model that ask for code are refused; those of real models are not."""

import json

import pytest

from diffkit.utils.foreign_code import code_wanted

#: The index of Stable Diffusion 1.5, as it is on the hub.
SD15 = {
    "_class_name": "StableDiffusionPipeline", "_diffusers_version": "0.6.0",
    "feature_extractor": ["transformers", "CLIPImageProcessor"],
    "safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"], "scheduler": ["diffusers", "PNDMScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"], "tokenizer": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"], "vae": ["diffusers", "AutoencoderKL"]}


def in_folder(folder):
    files = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    return code_wanted(files, lambda file: folder / file)


def wanted(folder, **files):
    for name, content in files.items():
        path = folder / (name.replace("__", "/") + ".json")
        path.parent.mkdir(exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    return in_folder(folder)


def test_models_as_they_are(sd_folder, sdxl_folder, tmp_path):
    for folder in (sd_folder, sdxl_folder):
        assert in_folder(folder) == ""
    settings = {"requires_safety_checker": False, "image_encoder": [None, None], "sizes": [64, 64]}
    assert wanted(tmp_path, model_index=SD15 | settings) == ""


@pytest.mark.parametrize(("change", "words"), [
    ({"_class_name": ["pipeline", "MyPipeline"]}, '_class_name is ["pipeline", "MyPipeline"]'),
    ({"_class_name": "MyPipeline"}, '_class_name is "MyPipeline", which diffusers does not have'),
    ({"_class_name": "../pipeline"}, '_class_name is "../pipeline"'),
    ({"unet": ["evil", "Net"]}, 'unet comes from the package "evil", allowed are diffusers and transformers'),
    ({"unet": ["os.path", "join"]}, 'the package "os.path"'),
    ({"unet": ["stable_diffusion.evil", "Net"]}, 'the package "stable_diffusion.evil"'),
    ({"unet": ["diffusers", "a.b"]}, 'unet is ["diffusers", "a.b"]'),
    ({"unet": ["diffusers", "A", "B"]}, 'unet is ["diffusers", "A", "B"]'),
    ({"unet": [None, "A"]}, 'unet is [null, "A"]'),
    ({"custom_pipeline": "evil"}, 'custom_pipeline is "evil"'),
    ({"auto_map": {"AutoModel": "m.M"}}, "auto_map is"),
])
def test_an_index_that_asks_for_code(tmp_path, change, words):
    fault = wanted(tmp_path, model_index=SD15 | change)
    assert words in fault and "in model_index.json" in fault and fault.endswith("is never run")


@pytest.mark.parametrize("name", [
    "config", "unet__config", "text_encoder__config", "tokenizer__tokenizer_config", "unet__adapter_config",
    "feature_extractor__preprocessor_config", "scheduler__scheduler_config"])
def test_an_auto_map_in_any_config(tmp_path, name):
    code = {"auto_map": {"AutoModel": "modeling_evil.Evil"}}
    assert f"in {name.replace('__', '/')}.json: auto_map" in wanted(tmp_path, model_index=SD15, **{name: code})
    assert wanted(tmp_path, **{name: {"auto_map": {}}}) == ""


def test_an_adapter_that_names_a_package(tmp_path):
    config = {"peft_type": "LORA", "megatron_config": {"a": 1}, "megatron_core": "evil"}
    assert "megatron_config is" in wanted(tmp_path, unet__adapter_config=config)


@pytest.mark.parametrize("text", [
    "{", "[]", "7", "[" * 100_000, '{"a": ' + "9" * 10_000 + "}", '"' + "a" * 5_000_000 + '"'])
def test_configs_that_are_none(tmp_path, text):
    assert wanted(tmp_path, unet__config=text).startswith("has a damaged unet/config.json: ")


def test_other_files_are_not_read(tmp_path):
    assert wanted(tmp_path, tokenizer__vocab="{", tokenizer__tokenizer="{", notes="{") == ""
