"""The weights that a model has, and those that may be read."""

from pathlib import Path

import pytest

from diffkit.utils.pretrained import PretrainedError, as_the_user_named, base_of
from diffkit.utils.pretrained_files import ModelFiles, find_model, reading
from diffkit.utils.step_folder import StepFolder

PIPELINE = {
    "model_index.json", "unet/config.json", "unet/diffusion_pytorch_model.bin", "vae/config.json",
    "vae/diffusion_pytorch_model.bin", "vae/diffusion_pytorch_model.safetensors", "text_encoder/config.json",
    "text_encoder/model.safetensors.index.json", "text_encoder/model-00001-of-00002.safetensors",
    "scheduler/scheduler_config.json", "tokenizer/vocab.json", "vae_decoder/config.json", "vae_decoder/model.onnx",
    "image_encoder/config.json", "image_encoder/model.fp16.safetensors"}


def model(*files: str, given: str = "a/b", key: str = "pretrained") -> ModelFiles:
    return ModelFiles(given, frozenset(files or PIPELINE), given, key)


def test_formats():
    found = model()
    assert [found.weights(name) for name in ("unet", "vae", "text_encoder")] == ["pickle", "safetensors", "safetensors"]
    assert not found.weights("tokenizer") and not found.weights("image_encoder")  # a variant alone is not loaded
    assert found.parts() == ["text_encoder", "unet", "vae"]
    assert found.safetensors_option("unet") == {"use_safetensors": False}
    assert found.safetensors_option("vae") == {"use_safetensors": True}
    assert model("config.json", "diffusion_pytorch_model.bin").weights("") == "pickle"


@pytest.mark.parametrize("file", ["pytorch_model.bin", "pytorch_model.bin.index.json", "diffusion_pytorch_model.bin"])
def test_pickled_weights_have_to_be_allowed(file):
    found = model("text_encoder/config.json", f"text_encoder/{file}")
    with pytest.raises(PretrainedError, match=r"^pretrained 'a/b' has only pickled .* for text_encoder\."):
        found.check(["text_encoder"], allow_pickle=False)
    found.check(["text_encoder"], allow_pickle=True)


def test_all_parts_without_weights_are_named_with_what_there_is():
    with pytest.raises(PretrainedError, match=r"for text_encoder_2, prior\. It has text_encoder, unet, vae\."):
        model().check(["unet", "text_encoder_2", "prior"], allow_pickle=True)
    with pytest.raises(PretrainedError, match=r"for image_encoder\. It holds .*/model\.fp16\.safetensors\."):
        model().check(["image_encoder"], allow_pickle=True)
    with pytest.raises(PretrainedError, match=r"vae 'x' has no weights\. It holds config\.json\."):
        model("config.json", given="x", key="vae").check([""], allow_pickle=True)


def test_a_folder_is_looked_through(sd_folder):
    found = find_model(sd_folder)
    assert found.source == sd_folder and found.parts() == ["text_encoder", "unet", "vae"]
    found.check(found.parts(), allow_pickle=False)


def test_the_message_has_the_words_of_the_user():
    words = {"pretrained": "--sdmodel", "vae": "--vaemodel", "allow_pickle": "--allow-pickle"}
    with pytest.raises(PretrainedError) as caught, as_the_user_named(**words):
        model().check(["unet"], allow_pickle=False)
    assert str(caught.value).startswith("--sdmodel 'a/b' has only pickled weights")
    assert str(caught.value).endswith("To load it all the same: --allow-pickle.")
    with pytest.raises(PretrainedError, match=r"^--vaemodel 'a/b' has no weights"), as_the_user_named(**words):
        model("config.json", key="vae").check([""], allow_pickle=False)


def test_the_message_names_the_step_folder_that_named_the_model():
    step = StepFolder(Path("w/step9"), False, {}, None, "a/b")
    with pytest.raises(PretrainedError, match=r"^--sdmodel: w/step9 was trained on 'a/b', which has only pickled"), \
            as_the_user_named(pretrained="--sdmodel"), base_of([step]):
        model().check(["unet"], allow_pickle=False)
    with pytest.raises(PretrainedError, match=r"^vae 'a/b' has only"), base_of([step]):
        model(key="vae").check(["unet"], allow_pickle=False)


@pytest.mark.parametrize("error", [OSError("no file\nlong tail"), ValueError("no file"), FileNotFoundError("no file")])
def test_what_libraries_say_of_files_is_one_line(error):
    with pytest.raises(PretrainedError, match=r"^pretrained 'a/b' cannot be loaded: no file$") as caught, \
            reading(model()):
        raise error
    assert caught.value.__cause__ is error


def test_faults_of_the_program_stay_what_they_are():
    with pytest.raises(TypeError), reading(model()):
        raise TypeError("a fault")
