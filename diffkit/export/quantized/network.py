"""From a network with fake-quantised layers to the tensors of its quantised form, and to a live one."""

from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from diffkit.export.quantized.codes import LayerCodes, pack, stored_shape
from diffkit.export.quantized.layers import quantized_layers, quantized_like, replace_layer
from diffkit.export.signature import base_tensors
from diffkit.utils.hashes import tensors_sha256


def coded_layers(module: nn.Module) -> dict[str, Any]:
    """The layers that know their codes (a method ``layer_codes()``), by the names that they had before any adapter."""
    return {name: layer for name, layer in module.named_modules() if hasattr(layer, "layer_codes")}


def other_tensors(module: nn.Module) -> dict[str, Tensor]:
    """Parameters and persistent buffers outside of the coded layers, by name."""
    inside = tuple(f"{name}." for name in coded_layers(module))
    return {name: value for name, value in module.state_dict().items() if not name.startswith(inside)}


def layer_tensors(name: str, layer: LayerCodes) -> dict[str, Tensor]:
    """The buffers of a quantised layer, by full name; see :class:`~diffkit.export.quantized.layers.QuantizedLayer`."""
    found = {"weight": pack(layer.codes, layer.weight_bits), "weight_scale": layer.weight_scale,
             "input_scale": layer.input_scale, "input_zero_point": layer.input_zero_point, "bias": layer.bias}
    return {f"{name}.{key}": value for key, value in found.items() if value is not None}


def quantized_bytes(module: nn.Module) -> int:
    """How many bytes the tensors of the quantised form take; the module may lie on the meta device."""
    total = sum(value.nbytes for value in other_tensors(module).values())
    for layer in coded_layers(module).values():
        shape, _ = stored_shape(layer.plain_layer.weight.shape, layer.weight_bits)
        total += torch.Size(shape).numel() + 4 * shape[0]
        total += 8 if layer.input_bits is not None else 0
        total += layer.plain_layer.bias.nbytes if layer.plain_layer.bias is not None else 0
    return total


def quantized_copy(module: nn.Module) -> nn.Module:
    """A copy whose coded layers compute with their codes; the module stays as it is.

    Its outputs are those of the fake-quantised network bit for bit, as long as both compute in float32.
    """
    copy = deepcopy(module)
    for name, layer in coded_layers(copy).items():
        codes = layer.layer_codes()
        quantized = quantized_like(layer.plain_layer, codes.weight_bits, codes.input_bits)
        quantized.fill(codes)
        replace_layer(copy, name, quantized)
    return copy


def dequantized(module: nn.Module) -> nn.Module:
    """Puts float layers with the dequantised weights in place of the quantised ones; inputs are no longer quantised.

    Returns:
        The same module.
    """
    for name, layer in quantized_layers(module).items():
        layer.use_kernels(False)
        replace_layer(module, name, layer.plain())  # type: ignore[operator]
    return module


def weights_sha256(module: nn.Module) -> str:
    """SHA-256 over names and values of the parameters of a network, without those that PEFT added; hexadecimal."""
    return tensors_sha256(sorted(base_tensors(module)))
