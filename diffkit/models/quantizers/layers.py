"""Linear layers and convolutions that compute as their integer forms will.

The class of a live layer is changed, and nothing else of it: parameters, their names and every reference to them stay.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from diffkit.export.quantized.codes import LayerCodes, weight_limits
from diffkit.models.quantizers.fake_quant import InputQuantizer, fake_quantize_weight, learned_quantize
from diffkit.models.quantizers.ranges import weight_scale


class QATLayer:
    """What quantised layers share; mixed into a float layer's class.

    Attributes:
        weight_bits: 2 to 8.
        input_quantizer: of the input; None leaves it as it is.
        follows_weight: the range covers the weight as it is at the moment; else it stays what it was found to be.
        weight_scale: float32 [out].
        log_weight_scale: the learned one, as a logarithm, or None.
        quantizing: False computes as the float layer does.
    """

    training: bool
    weight_bits: int
    follows_weight: bool
    quantizing: bool
    weight_scale: Tensor
    input_quantizer: InputQuantizer | None
    log_weight_scale: nn.Parameter | None

    @property
    def plain_layer(self) -> Any:
        """The float layer with the weight and the bias."""
        return self

    @property
    def input_bits(self) -> int | None:
        """2 to 8, or None."""
        return None if self.input_quantizer is None else self.input_quantizer.bits

    def float_weight(self) -> Tensor:
        """The weight that is quantised."""
        return self.plain_layer.weight

    @torch.no_grad()
    def set_weight_range(self, kind: str, percentile: float) -> None:
        """Finds the scales of the weight as it is."""
        self.weight_scale.copy_(weight_scale(self.float_weight(), self.weight_bits, kind, percentile))
        if self.log_weight_scale is not None:
            self.log_weight_scale.copy_(self.weight_scale.log())

    def current_scale(self, weight: Tensor) -> Tensor:
        """The scales that are in use, without a gradient."""
        if self.log_weight_scale is not None:
            return self.log_weight_scale.detach().exp()
        return weight_scale(weight, self.weight_bits, "minmax") if self.follows_weight else self.weight_scale

    def quantized_weight(self) -> Tensor:
        """The weight as its codes stand for it, float32."""
        weight = self.float_weight()
        if self.log_weight_scale is None or not torch.is_grad_enabled():
            return fake_quantize_weight(weight, self.current_scale(weight), self.weight_bits)
        scale = self.log_weight_scale.exp().view(-1, *[1] * (weight.ndim - 1))
        return learned_quantize(weight, scale, 0, *weight_limits(self.weight_bits))

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Computes on fake-quantised values; or as the float layer, as in evaluation before there are ranges."""
        inputs = self.input_quantizer
        if inputs is not None and inputs.record is not None:
            inputs.record.add(x)
        waits = inputs is not None and not inputs.is_set and not self.training
        if not self.quantizing or waits:
            return super().forward(x, *args, **kwargs)  # type: ignore[misc]
        if inputs is not None:
            x = inputs(x)
        return compute(self.plain_layer, x, self.quantized_weight().to(x.dtype))

    @torch.no_grad()
    def layer_codes(self) -> LayerCodes:
        """What the integer form computes with.

        Raises:
            ValueError: the range of the inputs is not known.
        """
        weight = self.float_weight().detach()
        scale = self.current_scale(weight).float()
        fake = fake_quantize_weight(weight, scale, self.weight_bits)
        codes = (fake / scale.view(-1, *[1] * (weight.ndim - 1))).round().to(torch.int8)
        layer = self.plain_layer
        bias = None if layer.bias is None else layer.bias.detach().clone()
        inputs = self.input_quantizer
        if inputs is None:
            return LayerCodes(codes, self.weight_bits, scale.clone(), None, None, None, bias)
        if not inputs.is_set:
            raise ValueError("a quantised layer was never calibrated: add CalibrationHook to custom_hooks, or train.")
        input_scale, zero = inputs.parameters_of_codes()
        return LayerCodes(codes, self.weight_bits, scale.clone(), inputs.bits, input_scale.clone(), zero.clone(), bias)


def compute(layer: Any, x: Tensor, weight: Tensor) -> Tensor:
    """What a float layer computes, with another weight."""
    bias = None if layer.bias is None else layer.bias.to(x.dtype)
    return F.linear(x, weight, bias) if isinstance(layer, nn.Linear) else layer._conv_forward(x, weight, bias)


class QATLinear(QATLayer, nn.Linear):  # type: ignore[misc]
    """A linear layer; ``folded()`` is the float layer again."""

    def folded(self) -> nn.Linear:
        """A plain layer with the same parameters."""
        layer = nn.Linear(self.in_features, self.out_features, self.bias is not None, device="meta")
        return _same_parameters(layer, self)


class QATConv2d(QATLayer, nn.Conv2d):  # type: ignore[misc]
    """A convolution; ``folded()`` is the float layer again."""

    def folded(self) -> nn.Conv2d:
        """A plain layer with the same parameters."""
        layer = nn.Conv2d(
            self.in_channels, self.out_channels, self.kernel_size, self.stride,  # type: ignore[arg-type]
            self.padding, self.dilation, self.groups, self.bias is not None, self.padding_mode,  # type: ignore[arg-type]
            device="meta")
        return _same_parameters(layer, self)


def _same_parameters(layer: Any, source: Any) -> Any:
    layer.weight, layer.bias = source.weight, source.bias
    return layer.train(source.training)
