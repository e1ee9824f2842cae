"""Step folders with a quantised UNet, wherever a step folder is taken."""

import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from diffkit.apis.load_pipeline import load_pipeline
from diffkit.apis.text_to_image import text_to_image
from diffkit.cli import main
from diffkit.export import write_artifacts
from diffkit.export.quantized import quantized_layers
from diffkit.models import LatentDiffusion
from diffkit.models.quantizers.verify import make_proof
from tests.apis.test_load_pipeline import write_step
from tests.tiny import tiny_sd

SETTINGS = {"num_inference_steps": 2, "guidance_scale": 4.0}


def quantise(folder, pretrained, **options):
    """A step folder of a model that was calibrated and not trained, and the model."""
    torch.manual_seed(0)
    model = LatentDiffusion(
        family={"type": "StableDiffusion"}, pretrained=str(pretrained), generation=SETTINGS,
        tuners={"unet": {"type": "FullTuner", "component": "unet"}}, quantizer={"type": "QATQuantizer", **options})
    model.quantizer.calibrate(model, ["a dog"])
    noise = torch.randn(2, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    conditioning = model.encode_prompts({"prompt": ["a dog", ""], "pixel_values": torch.zeros(2, 3, 32, 32)})
    model.quantizer.proof = make_proof(
        model, "unet", (noise, torch.tensor([3, 400]), conditioning), ["a dog", "a cat"], [1, 2], {})
    write_artifacts(model.artifacts(), folder, model.pipeline, step=1)
    return model


@pytest.fixture(scope="module")
def step(sd_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "step1"
    return quantise(folder, sd_folder), folder


def pictures(paths):
    return [np.asarray(Image.open(path)) for path in paths]


@pytest.mark.parametrize("how", ["step", "pretrained", "on its base"])
def test_a_step_folder_makes_the_pictures_of_the_model_that_was_saved(step, sd_folder, how):
    model, folder = step
    arguments = {"step": (None, [folder]), "pretrained": (folder, []), "on its base": (sd_folder, [folder])}[how]
    pipe = load_pipeline(*arguments, device="cpu")
    assert len(quantized_layers(pipe.unet)) == 282
    wanted = model.generate(["a dog"], seeds=[5])[0]
    from diffkit.models.generation import GenerationSettings, generate

    found = generate(pipe, ["a dog"], [5], GenerationSettings(**SETTINGS))[0]
    assert np.array_equal(np.asarray(found), np.asarray(wanted))


def test_the_float_unet_is_not_even_read(step, sd_folder, tmp_path):
    """Of the base everything is there but the UNet's weights."""
    base, folder = tmp_path / "base", tmp_path / "step1"
    shutil.copytree(sd_folder, base)
    shutil.copytree(step[1], folder)
    (base / "unet/diffusion_pytorch_model.safetensors").unlink()
    pipe = load_pipeline(base, [folder], device="cpu")
    assert len(quantized_layers(pipe.unet)) == 282
    with pytest.raises(ValueError, match="cannot be loaded"):
        load_pipeline(base, device="cpu")


def test_a_damaged_one_is_refused_and_never_replaced_by_floats(step, tmp_path):
    folder = tmp_path / "step1"
    shutil.copytree(step[1], folder)
    (folder / "unet_int8/quantized.safetensors").unlink()
    with pytest.raises(ValueError, match=r"has no quantized\.safetensors"):
        load_pipeline(None, [folder], device="cpu")


def test_a_base_of_another_kind_is_refused(step, tmp_path):
    other = tiny_sd(tmp_path / "other", unet={"in_channels": 5})
    with pytest.raises(ValueError, match="does not fit this model: its UNet has in_channels 4, the model's has 5"):
        load_pipeline(other, [step[1]], device="cpu")


def test_nothing_is_added_to_integers(step, sd_folder, tmp_path):
    write_step(tmp_path / "step2", sd_folder)
    with pytest.raises(ValueError, match="nothing can be added to its integers"):
        load_pipeline(None, [step[1], tmp_path / "step2"], device="cpu")
    with pytest.raises(ValueError, match="a pipeline has one"):
        load_pipeline(sd_folder, [step[1], step[1]], device="cpu")


def test_what_it_was_trained_on_is_in_it_once(sd_folder, tmp_path):
    """LoRA of UNet and text encoder, then quantised: the UNet's is in the integers, the text encoder's is not."""
    trained = write_step(tmp_path / "step1", sd_folder)
    model = quantise(tmp_path / "step2", tmp_path / "step1")
    pipe = load_pipeline(None, [tmp_path / "step2"], device="cpu")
    assert len(quantized_layers(pipe.unet)) == 282
    assert not getattr(pipe.unet, "peft_config", None)
    wanted = np.asarray(model.generate(["a dog"], seeds=[5])[0]).astype(int)
    from diffkit.models.generation import GenerationSettings, generate

    found = np.asarray(generate(pipe, ["a dog"], [5], GenerationSettings(**SETTINGS))[0]).astype(int)
    assert np.abs(found - wanted).max() <= 2  # the text encoder's adapter is merged in the one, beside it in the other
    assert trained is not None


def test_a_training_begins_with_it_as_floats_and_says_so(step, caplog):
    model, folder = step
    again = LatentDiffusion(family={"type": "StableDiffusion"}, pretrained=str(folder),
                            tuners={"unet": {"type": "LoRATuner", "component": "unet", "rank": 2}})
    assert "begins with its dequantised weights" in caplog.text
    own, weight = model.quantizer.layers(model)["conv_in"], again.get_submodule("unet").conv_in.weight
    assert torch.equal(weight, own.quantized_weight())


def test_a_float_pipeline_beside_it_is_not_taken_silently(sd_folder, step, tmp_path, caplog):
    """A training that trained the VAE too leaves a whole pipeline, whose own UNet is not the quantised one."""
    folder = tmp_path / "step1"
    shutil.copytree(sd_folder, folder)
    shutil.copytree(step[1] / "unet_int8", folder / "unet_int8")
    model = LatentDiffusion(family={"type": "StableDiffusion"}, pretrained=str(folder),
                            tuners={"unet": {"type": "LoRATuner", "component": "unet", "rank": 2}})
    assert "dequantised weights, not with the float UNet beside it" in caplog.text
    wanted = load_pipeline(folder, [], device="cpu").unet.conv_in.dequantized_weight()  # that of pictures
    weight = model.get_submodule("unet").conv_in.weight
    assert torch.equal(weight, wanted)
    floats = load_file(sd_folder / "unet/diffusion_pytorch_model.safetensors")["conv_in.weight"]
    assert not torch.equal(weight, floats)


def test_a_loaded_model_is_verified(step, capsys):
    text_to_image(None, [step[1]], ["a dog"], num_inference_steps=1, device="cpu", verify_loading=True,
                  out=step[1].parent / "a.png")
    assert "outputs equal bit for bit" in capsys.readouterr().err


@pytest.mark.parametrize("part", ["output", "picture", "absent"])
def test_verification_fails_where_anything_differs(step, tmp_path, part):
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "step1"
    shutil.copytree(step[1], folder)
    path = folder / "unet_int8/proof.safetensors"
    with safe_open(path, "pt") as file:
        about = file.metadata()
    tensors = load_file(path)
    if part == "output":
        tensors["output"].view(-1)[7] += 1e-6
    elif part == "picture":
        tensors["pictures"][0, 0, 0, 0] ^= 1
    path.unlink()
    if part != "absent":
        save_file(tensors, path, about)
    message = {"output": "outputs differ by up to", "picture": "1 of 2 differ", "absent": "nothing to compare"}[part]
    with pytest.raises(ValueError, match=message):
        text_to_image(None, [folder], ["a dog"], num_inference_steps=1, device="cpu", verify_loading=True,
                      out=tmp_path / "a.png")
    assert not (tmp_path / "a.png").exists()


def test_pictures_beside_those_of_the_float_model(step, sd_folder, tmp_path):
    settings = {"num_inference_steps": 1, "device": "cpu", "images_num": 1, "seed": 3}
    pair = pictures(text_to_image(None, [step[1]], ["a dog"], beside_float=True, out=tmp_path / "a.png", **settings))[0]
    left = pictures(text_to_image(sd_folder, [], ["a dog"], out=tmp_path / "b.png", **settings))[0]
    right = pictures(text_to_image(None, [step[1]], ["a dog"], out=tmp_path / "c.png", **settings))[0]
    assert contains(pair, left) and contains(pair, right) and not np.array_equal(left, right)
    with pytest.raises(ValueError, match="nothing to compare"):
        text_to_image(sd_folder, [], ["a dog"], beside_float=True, out=tmp_path / "d.png", **settings)


def contains(grid, picture):
    picture = picture.repeat(5, 0).repeat(5, 1)  # a grid enlarges small pictures
    height, width = picture.shape[:2]
    return any(np.array_equal(grid[y:y + height, x:x + width], picture)
               for y in range(grid.shape[0] - height + 1) for x in range(grid.shape[1] - width + 1))


def test_the_command_takes_a_quantised_step(step, sd_folder, tmp_path, capsys):
    arguments = ["text2images", "--caption", "a dog", "--images-num", "1", "--steps", "1", "--device", "cpu", "--out",
                 str(tmp_path / "out")]
    assert main([*arguments, "--quantized", str(step[1])]) == 0
    (picture,) = (tmp_path / "out").glob("*.png")
    assert str(step[1]) in str(Image.open(picture).info)
    assert main([*arguments, "--quantized", str(sd_folder)]) == 1
    assert "holds no quantised UNet" in capsys.readouterr().err
