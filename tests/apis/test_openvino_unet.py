"""Pictures of a quantised UNet that OpenVINO computes."""

import logging
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from diffkit.apis import load_pipeline
from diffkit.apis.text_to_image import text_to_image
from diffkit.cli import main
from diffkit.export.quantized import quantized_layers
from tests.apis.test_quantized_pictures import quantise
from tests.tiny import tiny_sd

SD = {"block_out_channels": (16, 32), "layers_per_block": 1, "mid_block_type": None,
      "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
      "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D")}
LAYERS = 65

SETTINGS = {"num_inference_steps": 2, "device": "cpu", "images_num": 1}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A UNet of two levels: the conversion's time is in the number of layers."""
    return tiny_sd(tmp_path_factory.mktemp("base"), unet=SD)


@pytest.fixture(scope="module")
def step(base, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "step1"
    quantise(folder, base)
    return folder


def psnr(first, second):
    a, b = (np.asarray(Image.open(path)).astype(float) for path in (first, second))
    return 10 * np.log10(255**2 / max(((a - b) ** 2).mean(), 1e-10))


def test_the_chosen_kernels_are_those_that_compute(step, tmp_path, monkeypatch):
    from diffkit.export.quantized.layers import QuantizedLayer

    used = []
    own = QuantizedLayer.forward
    monkeypatch.setattr(QuantizedLayer, "forward", lambda self, x: (used.append(self.uses_kernels), own(self, x))[1])
    text_to_image(None, [step], ["a dog"], kernels="kernels", out=tmp_path / "a.png", **SETTINGS)
    if not any(used):
        pytest.skip("this CPU's integer products saturate")
    assert all(used[-2 * LAYERS:])  # before that, kernels were compared with the reference


def test_openvino_makes_the_pictures_of_the_quantised_unet(step, base, tmp_path, caplog):
    pytest.importorskip("openvino", reason="openvino is not installed")
    wanted = text_to_image(None, [step], ["a dog"], out=tmp_path / "a.png", **SETTINGS)[0]
    floats = text_to_image(base, [], ["a dog"], out=tmp_path / "f.png", **SETTINGS)[0]
    with caplog.at_level(logging.WARNING, logger="diffkit"):
        found = text_to_image(None, [step], ["a dog"], kernels="openvino", out=tmp_path / "b.png", **SETTINGS)[0]
    assert "is converted for OpenVINO, once" in caplog.text
    assert psnr(found, floats) > psnr(wanted, floats) - 3 and psnr(found, wanted) > psnr(wanted, floats) - 3
    caplog.clear()
    pipe = load_pipeline(None, [step], device="cpu", dtype="bfloat16", kernels="openvino-bf16")
    assert not caplog.text, "the second time it is there"
    assert type(pipe.unet).__name__ == "OpenVINOUNet" and pipe.unet.executed["int8"] == LAYERS
    assert pipe.unet.dtype == torch.bfloat16 and not quantized_layers(pipe.unet)


def test_openvino_needs_a_quantised_unet_and_a_cpu(step, base, capsys):
    with pytest.raises(ValueError, match="'openvino' is for a quantised UNet"):
        load_pipeline(base, kernels="openvino", device="cpu")
    with pytest.raises(ValueError, match="kernels is 'fast'; allowed: 'auto', 'kernels'"):
        load_pipeline(None, [step], kernels="fast", device="cpu")
    with pytest.raises(SystemExit):
        main(["text2images", "--quantized", str(step), "--caption", "a dog", "--kernels", "fast"])
    from diffkit.apis.openvino_unet import openvino_unet

    with pytest.raises(ValueError, match="computes on a CPU, and the pipeline lies on cuda"):
        openvino_unet(step / "unet_int8", torch.nn.Module(), "openvino", "cuda")


def test_products_that_saturate_are_refused(step, monkeypatch):
    monkeypatch.setattr("diffkit.export.quantized.kernel_fault", lambda layers: "they saturate")
    with pytest.raises(ValueError, match="cannot be trusted on this processor"):
        load_pipeline(None, [step], kernels="openvino", device="cpu")


def test_openvino_that_is_not_installed_is_named(step, monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "openvino", None)
    words = ["text2images", "--quantized", str(step), "--caption", "a dog", "--device", "cpu", "--out", str(tmp_path)]
    assert main([*words, "--kernels", "openvino"]) == 1
    assert "pip install openvino" in capsys.readouterr().err
