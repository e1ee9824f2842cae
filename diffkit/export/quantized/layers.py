"""Layers whose weights are integers in memory, and become floats for the moment of their use."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from diffkit.export.quantized import kernels
from diffkit.export.quantized.codes import LayerCodes, pack, stored_shape, unpack


class QuantizedLayer(nn.Module):
    """What :class:`QuantizedLinear` and :class:`QuantizedConv2d` share.

    Buffers: ``weight`` (int8 of the weight's shape, or two codes of four bits in a byte), ``weight_scale``,
    ``input_scale`` and ``input_zero_point`` (where inputs are quantised), ``bias``. Scales stay float32 whatever the
    module is cast to; ``bias`` takes the dtype.

    Args:
        shape: of the weight, [out, in, ...].
        weight_bits: 2 to 8.
        input_bits: 2 to 8, or None.
        bias: whether there is one.
    """

    weight: Tensor
    weight_scale: Tensor
    input_scale: Any
    input_zero_point: Any
    bias: Tensor | None

    def __init__(self, shape: tuple[int, ...], weight_bits: int, input_bits: int | None, bias: bool) -> None:
        super().__init__()
        self.shape, self.weight_bits, self.input_bits = tuple(shape), weight_bits, input_bits
        stored, dtype = stored_shape(self.shape, weight_bits)
        self.register_buffer("weight", torch.empty(stored, dtype=dtype))
        self.register_buffer("weight_scale", torch.empty(shape[0]))
        self.register_buffer("input_scale", None if input_bits is None else torch.empty(()))
        self.register_buffer(
            "input_zero_point", None if input_bits is None else torch.empty((), dtype=torch.int32))
        self.register_buffer("bias", torch.empty(shape[0]) if bias else None)
        self._packed: kernels.Packed | None = None

    def fill(self, codes: LayerCodes) -> None:
        """Takes the values of ``codes``, without a copy where they need none."""
        self.weight = pack(codes.codes, codes.weight_bits)
        self.weight_scale = codes.weight_scale
        self.input_scale, self.input_zero_point = codes.input_scale, codes.input_zero_point
        self.bias = codes.bias

    def codes(self) -> Tensor:
        """The codes of the weight, int8 of its shape."""
        if self._packed is not None:
            return self._packed.codes()
        return unpack(self.weight, self.weight_bits, self.shape)

    def dequantized_weight(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """The weight as floats, for one use; its products are made in float32."""
        scale = self.weight_scale.view(-1, *[1] * (len(self.shape) - 1))
        return (self.codes().float() * scale).to(dtype)

    def dequantized_input(self, x: Tensor) -> Tensor:
        """The input as its codes stand for it, in its own dtype."""
        if self.input_bits is None:
            return x
        last = 2**self.input_bits - 1
        fake: Any = torch.fake_quantize_per_tensor_affine
        return fake(x.float(), self.input_scale, self.input_zero_point, 0, last).to(x.dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Computes with integer kernels where they are in use, else with dequantised floats."""
        if self._packed is not None and x.device.type == "cpu":
            return self._packed(x)
        bias = None if self.bias is None else self.bias.to(x.dtype)
        return self._compute(self.dequantized_input(x), self.dequantized_weight(x.dtype), bias)

    def _compute(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        raise NotImplementedError

    def _pack(self) -> "kernels.Packed":
        raise NotImplementedError

    @property
    def uses_kernels(self) -> bool:
        """Whether integer kernels compute this layer."""
        return self._packed is not None

    def use_kernels(self, use: bool) -> None:
        """Switches integer kernels on or off; with them the codes lie in the kernels' order, and only there.

        Raises:
            ValueError: there are none for inputs of another width than 8 bits, nor for other devices than a CPU.
        """
        if use == self.uses_kernels:
            return
        if use:
            if self.input_bits != 8 or self.weight.device.type != "cpu":
                raise ValueError("integer kernels need inputs of 8 bits, and a CPU")
            self._packed = self._pack()
            self.weight = torch.empty(0, dtype=self.weight.dtype)
        else:
            codes = self.codes()
            self._packed = None
            self.weight = pack(codes, self.weight_bits)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "QuantizedLayer":
        """Moves all, and casts the bias alone."""
        kernels_used = self.uses_kernels
        self.use_kernels(False)
        exact = {name: getattr(self, name) for name in ("weight_scale", "input_scale")}
        super()._apply(fn, recurse)
        for name, value in exact.items():
            if value is not None:
                setattr(self, name, value.to(self.weight.device))
        if kernels_used and self.weight.device.type == "cpu":
            self.use_kernels(True)
        return self

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        if self.uses_kernels:
            destination[prefix + "weight"] = pack(self.codes(), self.weight_bits)


class QuantizedLinear(QuantizedLayer):
    """A linear layer; see :class:`QuantizedLayer`."""

    def __init__(self, shape: tuple[int, ...], weight_bits: int, input_bits: int | None, bias: bool) -> None:
        super().__init__(shape, weight_bits, input_bits, bias)
        self.out_features, self.in_features = self.shape

    def _compute(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return F.linear(x, weight, bias)

    def _pack(self) -> kernels.Packed:
        return kernels.PackedLinear(self)

    def plain(self) -> nn.Linear:
        """A float layer with the dequantised weight."""
        layer = nn.Linear(self.in_features, self.out_features, self.bias is not None, device="meta")
        return _with_weights(layer, self)


class QuantizedConv2d(QuantizedLayer):
    """A convolution over pictures, padded with zeros; see :class:`QuantizedLayer`.

    Args:
        shape: of the weight, [out, in / groups, height, width].
        weight_bits: 2 to 8.
        input_bits: 2 to 8, or None.
        bias: whether there is one.
        stride: as of ``nn.Conv2d``, two numbers; likewise ``padding`` and ``dilation``.
        groups: as of ``nn.Conv2d``.
    """

    def __init__(self, shape: tuple[int, ...], weight_bits: int, input_bits: int | None, bias: bool,
                 stride: tuple[int, ...], padding: tuple[int, ...], dilation: tuple[int, ...], groups: int) -> None:
        super().__init__(shape, weight_bits, input_bits, bias)
        self.stride, self.padding, self.dilation, self.groups = stride, padding, dilation, groups
        self.out_channels, self.in_channels = shape[0], shape[1] * groups
        self.kernel_size = tuple(shape[2:])

    def _compute(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return F.conv2d(x, weight, bias, self.stride, self.padding, self.dilation, self.groups)

    def _pack(self) -> kernels.Packed:
        return kernels.PackedConv2d(self)

    def plain(self) -> nn.Conv2d:
        """A float layer with the dequantised weight."""
        layer: Any = nn.Conv2d(
            self.in_channels, self.out_channels, self.kernel_size, self.stride,  # type: ignore[arg-type]
            self.padding, self.dilation, self.groups, self.bias is not None, device="meta")  # type: ignore[arg-type]
        return _with_weights(layer, self)


def _with_weights(layer: Any, source: QuantizedLayer) -> Any:
    layer.weight = nn.Parameter(source.dequantized_weight(), requires_grad=False)
    if source.bias is not None:
        layer.bias = nn.Parameter(source.bias.clone(), requires_grad=False)
    return layer.train(source.training)


def quantized_like(layer: nn.Module, weight_bits: int, input_bits: int | None) -> QuantizedLayer:
    """An unfilled quantised layer in the form of a float one, on its device.

    Raises:
        TypeError: there is no quantised form of such a layer.
    """
    if isinstance(layer, nn.Linear):
        made: QuantizedLayer = QuantizedLinear(
            tuple(layer.weight.shape), weight_bits, input_bits, layer.bias is not None)
    elif isinstance(layer, nn.Conv2d) and layer.padding_mode == "zeros" and not isinstance(layer.padding, str):
        made = QuantizedConv2d(
            tuple(layer.weight.shape), weight_bits, input_bits, layer.bias is not None, tuple(layer.stride),
            tuple(layer.padding), tuple(layer.dilation), layer.groups)
    else:
        raise TypeError(f"there is no quantised form of {type(layer).__name__}.")
    return made.train(layer.training)


def replace_layer(module: nn.Module, name: str, layer: nn.Module) -> None:
    """Puts ``layer`` in the place ``name`` of ``module``."""
    parent, _, child = name.rpartition(".")
    setattr(module.get_submodule(parent), child, layer)


def quantized_layers(module: nn.Module) -> dict[str, QuantizedLayer]:
    """The quantised layers of a network, by name."""
    return {name: layer for name, layer in module.named_modules() if isinstance(layer, QuantizedLayer)}
