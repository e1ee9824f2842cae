"""Linear layers and convolutions that compute with what a post-training algorithm made of them.

As in :mod:`diffkit.models.quantizers.layers` the class of a live layer is changed; the float weight stays.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from diffkit.export.quantized.codes import LayerCodes
from diffkit.models.quantizers.fake_quant import fake_quantize_input
from diffkit.models.quantizers.layers import QATConv2d, QATLinear, compute


class CompressedLayer:
    """Mixed into a float layer's class.

    Buffers, none of which is kept with the weights: ``codes`` (int8, of the weight's shape) or ``rounded`` (the weight
    as floats, where codes with one scale for each output channel cannot stand for it), ``weight_scale`` (float32 [out];
    0 until the layer is filled), ``input_scale`` (float32 []) and ``input_zero_point`` (int32 [], a code of 8 bits).

    Attributes:
        weight_bits: 2 to 8, of the codes.
        input_bits: 8, or None.
        quantizing: False computes as the float layer does.
        is_filled: there is something to compute with.
    """

    is_filled: bool
    weight_bits: int
    input_bits: int | None
    quantizing: bool
    codes: Tensor | None
    rounded: Tensor | None
    weight_scale: Tensor
    input_scale: Tensor
    input_zero_point: Tensor

    @property
    def plain_layer(self) -> Any:
        """The float layer with the weight and the bias."""
        return self

    @torch.no_grad()
    def fill(self, values: Mapping[str, Tensor]) -> None:
        """Takes what :meth:`tensors` gave, or an algorithm made; scales of 0 empty the layer again."""
        for name, own in self.tensors().items():
            own.copy_(values[name])
        self.is_filled = bool((self.weight_scale > 0).all())

    def quantized_weight(self) -> Tensor:
        """The weight that the layer computes with, float32."""
        if self.rounded is not None:
            return self.rounded
        codes: Any = self.codes
        return codes.float() * self.weight_scale.view(-1, *[1] * (codes.ndim - 1))

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Computes on rounded values; or as the float layer, before there are any."""
        if not self.quantizing or not self.is_filled:
            return super().forward(x, *args, **kwargs)  # type: ignore[misc]
        if self.input_bits is not None:
            x = fake_quantize_input(x, self.input_scale, self.input_zero_point, self.input_bits)
        return compute(self, x, self.quantized_weight().to(x.dtype))

    def layer_codes(self) -> LayerCodes:
        """What the integer form computes with.

        Raises:
            ValueError: the layer was never filled.
        """
        if self.codes is None or not self.is_filled:
            raise ValueError("a quantised layer was never calibrated: add CalibrationHook to custom_hooks.")
        bias = None if self.plain_layer.bias is None else self.plain_layer.bias.detach().clone()
        inputs = self.input_bits is not None
        return LayerCodes(
            self.codes.clone(), self.weight_bits, self.weight_scale.clone(), self.input_bits,
            self.input_scale.clone() if inputs else None, self.input_zero_point.clone() if inputs else None, bias)

    def tensors(self) -> dict[str, Tensor]:
        """What a checkpoint must hold, by short name."""
        weight = {"rounded": self.rounded} if self.codes is None else {"codes": self.codes}
        inputs = {} if self.input_bits is None else {
            "input_scale": self.input_scale, "input_zero_point": self.input_zero_point}
        found = {**weight, "weight_scale": self.weight_scale, **inputs}
        return {name: value for name, value in found.items() if value is not None}

    def plain(self) -> nn.Module:
        """A float layer with the rounded weight."""
        made: Any = self.folded()  # type: ignore[attr-defined]
        made.weight = nn.Parameter(self.quantized_weight(), requires_grad=False)
        return made


class CompressedLinear(CompressedLayer, nn.Linear):  # type: ignore[misc]
    """A linear layer."""

    folded = QATLinear.folded


class CompressedConv2d(CompressedLayer, nn.Conv2d):  # type: ignore[misc]
    """A convolution."""

    folded = QATConv2d.folded


def compress(layer: Any, weight_bits: int, as_codes: bool, input_bits: int | None) -> None:
    """Changes the class of a float layer; it computes as before until :meth:`CompressedLayer.fill`.

    Args:
        layer: linear, or a convolution.
        weight_bits: 2 to 8.
        as_codes: codes with one scale for each output channel can stand for the weight.
        input_bits: 8, or None.
    """
    layer.__class__ = CompressedLinear if isinstance(layer, nn.Linear) else CompressedConv2d
    weight = layer.weight
    layer.weight_bits, layer.input_bits, layer.quantizing, layer.is_filled = weight_bits, input_bits, True, False
    kind = torch.int8 if as_codes else torch.float32
    empty = torch.zeros(weight.shape, dtype=kind, device=weight.device)
    buffers = {"codes": empty if as_codes else None, "rounded": None if as_codes else empty,
               "weight_scale": torch.zeros(len(weight), device=weight.device),
               "input_scale": torch.ones((), device=weight.device),
               "input_zero_point": torch.zeros((), dtype=torch.int32, device=weight.device)}
    for name, value in buffers.items():
        layer.register_buffer(name, value, persistent=False)
