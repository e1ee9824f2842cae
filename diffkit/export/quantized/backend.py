"""Whether the quantised layers of a network compute with integer kernels, and whether these can be trusted here.

On a CPU without VNNI instructions the products of unsigned inputs and signed weights saturate, without a word. So
kernels are compared with the dequantised reference before they are used.
"""

import logging
import warnings

import torch
from torch import nn

from diffkit.export.quantized.layers import QuantizedLayer, quantized_layers

#: The least number of quantised weights from which on the kernels were faster than floats: one of 220 M was, one of
#: 8 M was not.
WORTHWHILE = 50_000_000

#: The largest squared error of the kernels, relative to the reference's squared values; it is about 1e-14 where they
#: compute as they should, and above 1e-3 where they saturate.
TOLERANCE = 1e-6

_log = logging.getLogger("diffkit")


def enable_kernels(module: nn.Module, backend: str = "auto") -> int:
    """Lets the quantised layers of a network on a CPU use integer kernels, if these compute what they should.

    Args:
        module: a network with quantised layers.
        backend: ``auto`` takes kernels for a network on a CPU that is large enough to gain; ``kernels`` takes them
            wherever they can be had; ``dequantized`` takes none.

    Returns:
        How many layers use kernels.

    Raises:
        ValueError: ``backend`` is none of these.
    """
    if backend not in ("auto", "kernels", "dequantized"):
        raise ValueError(f"backend is {backend!r}; allowed: 'auto', 'kernels', 'dequantized'.")
    layers = [layer for layer in quantized_layers(module).values()
              if layer.input_bits == 8 and layer.weight.device.type == "cpu"]
    if backend == "dequantized" or not layers or (backend == "auto" and _weights(layers) < WORTHWHILE):
        return 0
    if fault := kernel_fault(layers):
        _log.warning(f"The integer kernels of this CPU are not used: {fault}. The quantised layers compute with "
                     "dequantised floats, which is as exact and slower.")
        return 0
    for layer in layers:
        layer.use_kernels(True)
    return len(layers)


def _weights(layers: list[QuantizedLayer]) -> int:
    return sum(torch.Size(layer.shape).numel() for layer in layers)


def kernel_fault(layers: list[QuantizedLayer], tested: int = 4) -> str:
    """What is wrong with the kernels for some layers; an empty text where nothing is.

    The layers with the most and the fewest inputs for each output, and some between, get inputs over their whole range.
    """
    warnings.filterwarnings("ignore", r"torch\.quantize_per_tensor", UserWarning)  # what replaces it copies
    ordered = sorted(layers, key=lambda layer: torch.Size(layer.shape[1:]).numel())
    step = max(1, len(ordered) // tested)
    for layer in dict.fromkeys([*ordered[::step], ordered[-1]]):
        try:
            error = _error(layer)
        except RuntimeError as caught:
            return f"they fail ({str(caught).strip().splitlines()[0]})"
        if not error <= TOLERANCE:
            return f"their squared error is {error:.1e} of the values, as on CPUs whose products saturate"
    return ""


def _error(layer: QuantizedLayer) -> float:
    """The squared error of the kernel relative to the reference, on codes over the whole range."""
    generator = torch.Generator().manual_seed(0)
    shape = (8, layer.shape[1]) if len(layer.shape) == 2 else (
        1, layer.shape[1] * getattr(layer, "groups", 1), *(side + 3 for side in layer.shape[2:]))
    codes = torch.randint(0, 256, shape, generator=generator)
    codes[:, : shape[1] // 2].clamp_(min=200)  # large neighbours: this is where products saturate
    x = (codes - layer.input_zero_point) * layer.input_scale
    was = layer.uses_kernels
    try:
        layer.use_kernels(False)
        reference = layer(x)
        layer.use_kernels(True)
        found = layer(x)
    finally:
        layer.use_kernels(was)
    return float((found - reference).square().sum() / reference.square().sum().clamp(min=1e-12))
