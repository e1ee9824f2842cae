"""Multiplications of a UNet, against closed forms and published figures."""

import pytest
import torch
from diffusers import UNet2DConditionModel
from torch import nn

from diffkit.evaluation.cost import count_parameters, unet_macs
from diffkit.models.families.unet_configs import UNETS
from diffkit.models.twin import example_inputs
from tests.tiny import SD_SPEC, SDXL_SPEC

#: 10^9 at 64 x 64 latents: convolutions and linear layers (339, 224, 218, 205 in the table of BK-SDM), with attention
PUBLISHED = {"sd15": (338.6, 401.6), "small-sd": (223.7, 261.5), "bk-small": (217.6, 255.4), "tiny-sd": (205.0, 242.8)}


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_figures_of_real_models(name):
    macs = unet_macs(UNETS[name], (64, 64))
    assert (round(macs.layers / 1e9, 1), round(macs.total / 1e9, 1)) == PUBLISHED[name]


@pytest.mark.parametrize("spec", [SD_SPEC, SDXL_SPEC], ids=["sd", "sdxl"])
def test_layers_are_the_sum_of_closed_forms(spec):
    unet, counted = UNet2DConditionModel(**spec["unet"]), []

    def convolution(layer, inputs, output):
        counted.append(output[0].numel() * layer.in_channels // layer.groups * layer.kernel_size[0] ** 2)

    def linear(layer, inputs, output):
        counted.append(output[0].numel() * layer.in_features)

    def attention(layer, inputs, keywords, output):
        query, context = inputs[0], keywords.get("encoder_hidden_states")
        keys = query.shape[1] if context is None else context.shape[1]
        products.append(2 * query.shape[1] * keys * layer.inner_dim)

    products = []
    for layer in unet.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(convolution)
        elif isinstance(layer, nn.Linear):
            layer.register_forward_hook(linear)
        elif type(layer).__name__ == "Attention":
            layer.register_forward_hook(attention, with_kwargs=True)
    with torch.no_grad():
        unet(**example_inputs(unet.config, tokens=7, device="cpu"))
    macs = unet_macs(unet.config, tokens=7)
    assert macs.layers == sum(counted)
    assert macs.attention == sum(products)


def test_a_larger_picture_costs_more_and_attention_grows_faster():
    small, large = (unet_macs(SD_SPEC["unet"], (side, side), tokens=7) for side in (16, 32))
    assert large.layers == pytest.approx(4 * small.layers, rel=0.05)
    assert large.attention > 8 * small.attention
    assert large.total == large.layers + large.attention


def test_parameters():
    assert count_parameters(nn.Linear(3, 4)) == 16
