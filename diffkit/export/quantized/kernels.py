"""Integer arithmetic on a CPU: oneDNN's kernels, and a weight in the order that they want."""

from abc import ABC, abstractmethod
from typing import Any, Protocol

import torch
from torch import Tensor


class Layer(Protocol):
    """What the kernels take from a quantised layer."""

    weight_scale: Tensor
    input_scale: Any
    input_zero_point: Any
    bias: Tensor | None

    def codes(self) -> Tensor:
        """The codes of the weight, int8 of its shape."""


class Packed(ABC):
    """A layer's weight in the order of the kernels, and the constants that they need."""

    def __init__(self, layer: Layer) -> None:
        self.scale, self.zero_point = float(layer.input_scale), int(layer.input_zero_point)
        self.weight_scale = layer.weight_scale
        self.weight_zero_point = torch.zeros_like(layer.weight_scale, dtype=torch.int32)
        self.bias = None if layer.bias is None else layer.bias.float()
        self.weight: Any = self._prepack(layer)

    @abstractmethod
    def _prepack(self, layer: Layer) -> Any:
        """The weight as the kernel wants it."""

    @abstractmethod
    def codes(self) -> Tensor:
        """The codes again, int8 of the weight's shape."""

    @abstractmethod
    def __call__(self, x: Tensor) -> Tensor:
        """The layer's output, in the dtype of ``x``."""

    def input_codes(self, x: Tensor) -> Tensor:
        """uint8 codes of ``x``: the storage of the quantised tensor itself, for ``int_repr`` would copy it."""
        quantized = torch.quantize_per_tensor(x.float(), self.scale, self.zero_point, torch.quint8)
        codes = torch.empty(0, dtype=torch.uint8)
        return codes.set_(quantized.untyped_storage(), 0, quantized.size(), quantized.stride())  # type: ignore


class PackedLinear(Packed):
    """A linear layer."""

    def _prepack(self, layer: Layer) -> Any:
        return torch.ops.onednn.qlinear_prepack(layer.codes(), None)

    def codes(self) -> Tensor:
        return self.weight.to_dense().t().contiguous()

    def __call__(self, x: Tensor) -> Tensor:
        return torch.ops.onednn.qlinear_pointwise(
            self.input_codes(x), self.scale, self.zero_point, self.weight, self.weight_scale, self.weight_zero_point,
            self.bias, 1.0, 0, x.dtype, "none", [], "")


class PackedConv2d(Packed):
    """A convolution."""

    def _prepack(self, layer: Any) -> Any:
        self.form = (list(layer.stride), list(layer.padding), list(layer.dilation), layer.groups)
        return torch.ops.onednn.qconv_prepack(
            layer.codes(), layer.weight_scale, self.scale, self.zero_point, *self.form, None)

    def codes(self) -> Tensor:
        return self.weight.to_dense().contiguous()

    def __call__(self, x: Tensor) -> Tensor:
        codes = self.input_codes(x).contiguous(memory_format=torch.channels_last)
        return torch.ops.onednn.qconv2d_pointwise(
            codes, self.scale, self.zero_point, self.weight, self.weight_scale, self.weight_zero_point, self.bias,
            *self.form, 1.0, 0, x.dtype, "none", [], "")
