"""Quantised layers in a form that converters of other programs keep: integer weights, and ranges that are numbers.

A converter that finds the scale of an input as a tensor computes it in its graph, and runs the layer on floats.
"""

from typing import Any

import torch
from torch import Tensor, nn

from diffkit.export.quantized.layers import QuantizedLayer, quantized_layers, replace_layer


class FrozenLayer(nn.Module):
    """A quantised layer that can only be traced; its outputs are those of the dequantised one, bit for bit.

    Args:
        layer: what it computes as; its integer kernels must not be in use.
    """

    weight: Tensor
    weight_scale: Tensor
    bias: Tensor | None

    def __init__(self, layer: QuantizedLayer) -> None:
        super().__init__()
        self.form = (layer,)  # in a tuple it is no sub-module, so that its buffers are not there twice
        self.register_buffer("weight", layer.codes().contiguous())
        self.register_buffer("weight_scale", layer.weight_scale)
        self.register_buffer("bias", None if layer.bias is None else layer.bias.float())
        self.last = None if layer.input_bits is None else 2**layer.input_bits - 1
        self.input_scale = 1.0 if self.last is None else float(layer.input_scale)
        self.input_zero_point = 0 if self.last is None else int(layer.input_zero_point)

    def forward(self, x: Tensor) -> Tensor:
        """Computes on fake-quantised values."""
        return self.form[0]._compute(self.rounded(x), self.float_weight(), self.bias)

    def rounded(self, x: Tensor) -> Tensor:
        """The input as its codes stand for it."""
        if self.last is None:
            return x
        return torch.fake_quantize_per_tensor_affine(x, self.input_scale, self.input_zero_point, 0, self.last)

    def float_weight(self) -> Tensor:
        """The weight as floats: a conversion and a product, which runtimes know as a quantised weight."""
        return self.weight.to(torch.float32) * self.weight_scale.view(-1, *[1] * (self.weight.ndim - 1))


def freeze(network: nn.Module, kind: type[FrozenLayer] = FrozenLayer) -> int:
    """Puts frozen layers in the place of the quantised ones, in place.

    Returns:
        How many of them have inputs of 8 bits, which integer kernels compute.
    """
    layers = quantized_layers(network)
    for name, layer in layers.items():
        layer.use_kernels(False)
        replace_layer(network, name, kind(layer))
    return sum(layer.input_bits == 8 for layer in layers.values())


class PlainCall(nn.Module):
    """A UNet that takes tensors by position and gives one, for converters.

    Args:
        unet: of diffusers.
    """

    def __init__(self, unet: nn.Module) -> None:
        super().__init__()
        self.unet = unet

    def forward(self, sample: Tensor, timestep: Tensor, encoder_hidden_states: Tensor,
                text_embeds: Tensor | None = None, time_ids: Tensor | None = None) -> Tensor:
        """The prediction, float32 of the shape of ``sample``."""
        added = None if text_embeds is None else {"text_embeds": text_embeds, "time_ids": time_ids}
        return self.unet(sample, timestep, encoder_hidden_states, added_cond_kwargs=added, return_dict=False)[0]


def example_inputs(config: dict[str, Any], batch: int = 2) -> dict[str, Tensor]:
    """Small inputs of a UNet, by name.

    Args:
        config: of the UNet.
        batch: how many.

    Raises:
        ValueError: it is a UNet with inputs that neither Stable Diffusion nor SDXL has.
    """
    strange = [key for key in ("class_embed_type", "time_cond_proj_dim", "encoder_hid_dim_type") if config.get(key)]
    if strange or config.get("addition_embed_type") not in (None, "text_time"):
        raise ValueError("the UNet has inputs beside those of Stable Diffusion and SDXL, for "
                         f"{', '.join(strange) or 'addition_embed_type'}: it cannot be converted.")
    generator = torch.Generator().manual_seed(0)
    side = 2 * latent_multiple(config)
    width = config["cross_attention_dim"]
    made = {"sample": torch.randn(batch, config["in_channels"], side, side, generator=generator),
            "timestep": torch.arange(1, batch + 1) * 100,
            "encoder_hidden_states": torch.randn(batch, 7, width, generator=generator)}
    if config.get("addition_embed_type") == "text_time":
        times = 6
        pooled = config["projection_class_embeddings_input_dim"] - times * config["addition_time_embed_dim"]
        made["text_embeds"] = torch.randn(batch, pooled, generator=generator)
        made["time_ids"] = torch.full((batch, times), 64.0)
    return made


def latent_multiple(config: dict[str, Any]) -> int:
    """What the sides of latents are divisible by: each level but the last halves them."""
    return int(2 ** (len(config["block_out_channels"]) - 1))
