"""Values rounded to what integer codes can stand for, with gradients that pass straight through.

Forward: ``(clamp(round(x / s) + z, 0, n) - z) * s``. Backward: the gradient passes where the code was not clamped
(the straight-through estimator, Bengio et al. 2013) and is 0 elsewhere. A learned scale has the gradient of LSQ (Esser
et al. 2020): ``round(x / s) - x / s`` where the code is free, and the clamped code less its zero point elsewhere. It is
kept as a logarithm (Jain et al. 2020), so that a step of an optimizer changes it by a share of itself.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn

from diffkit.export.quantized.codes import weight_limits
from diffkit.models.quantizers.ranges import InputRecord, affine

_fake_tensor: Any = torch.fake_quantize_per_tensor_affine
_fake_channel: Any = torch.fake_quantize_per_channel_affine


def fake_quantize_weight(weight: Tensor, scale: Tensor, bits: int) -> Tensor:
    """``weight`` [out, ...] as its codes of ``bits`` bits stand for it, with ``scale`` [out]; float32."""
    least, last = weight_limits(bits)
    zero = torch.zeros_like(scale, dtype=torch.int32)
    return _fake_channel(weight.float(), scale, zero, 0, least, last)


def fake_quantize_input(x: Tensor, scale: Tensor, zero_point: Tensor, bits: int) -> Tensor:
    """``x`` as its unsigned codes of ``bits`` bits stand for it, in its own dtype."""
    return _fake_tensor(x.float(), scale, zero_point, 0, 2**bits - 1).to(x.dtype)


def learned_quantize(x: Tensor, scale: Tensor, zero_point: Tensor | int, least: int, last: int) -> Tensor:
    """The same with a gradient for ``scale``, divided by ``sqrt(values per scale * last)`` as in LSQ; float32.

    Args:
        x: any shape.
        scale: positive; a number, or of a shape that fits that of ``x``.
        zero_point: the code of 0.
        least: the least code.
        last: the largest code.
    """
    share = 1 / math.sqrt(max(1, x.numel() // scale.numel()) * max(1, last))
    scale = scale * share + (scale * (1 - share)).detach()
    shifted = x.float() / scale + zero_point
    clamped = shifted.clamp(least, last)
    code = clamped + (clamped.round() - clamped).detach()
    return (code - zero_point) * scale


class InputQuantizer(nn.Module):
    """The range of one layer's inputs.

    Args:
        bits: 2 to 8.
        learned: the scale becomes a parameter, ``log_scale``.

    Attributes:
        is_set: it has a range.
        record: what calibration looks at inputs with, while it does.
        seen: the range of the inputs since the last :meth:`follow`, while ``tracks``.
    """

    low: Tensor
    high: Tensor

    def __init__(self, bits: int, learned: bool = False) -> None:
        super().__init__()
        self.bits = bits
        for name in ("low", "high"):
            self.register_buffer(name, torch.zeros(()), persistent=False)
        self.log_scale = nn.Parameter(torch.zeros(())) if learned else None
        self.record: InputRecord | None = None
        self.seen: tuple[Tensor, Tensor] | None = None
        self.tracks = False
        self.is_set = False

    @torch.no_grad()
    def set_range(self, low: Tensor, high: Tensor) -> None:
        """Covers ``[low, high]`` and 0."""
        self.low.copy_(low.clamp(max=0))
        self.high.copy_(torch.where(high > self.low, high.clamp(min=0), 1e-6))  # an input may be 0 always
        self.is_set = True
        if self.log_scale is not None:
            self.log_scale.copy_(affine(self.low, self.high, self.bits)[0].log())

    def parameters_of_codes(self) -> tuple[Tensor, Tensor]:
        """Scale and zero point, without a gradient."""
        scale, zero = affine(self.low, self.high, self.bits)
        return (scale if self.log_scale is None else self.log_scale.detach().exp()), zero

    def forward(self, x: Tensor) -> Tensor:
        """Fake-quantises ``x``; in training a quantizer without a range takes that of its first input."""
        if self.training and not self.is_set:
            self.set_range(*(value.float() for value in torch.aminmax(x.detach())))
        if self.training and self.tracks:
            self._look(x)
        scale, zero = self.parameters_of_codes()
        if self.log_scale is None or not torch.is_grad_enabled():
            return fake_quantize_input(x, scale, zero, self.bits)
        return learned_quantize(x, self.log_scale.exp(), zero, 0, 2**self.bits - 1).to(x.dtype)

    @torch.no_grad()
    def follow(self, low: Tensor, high: Tensor, momentum: float) -> None:
        """Moves the range by ``momentum`` towards that of the last inputs."""
        self.seen = None
        self.set_range(torch.lerp(self.low, low.clamp(max=0), momentum),
                       torch.lerp(self.high, high.clamp(min=0), momentum))

    def _look(self, x: Tensor) -> None:
        """Notes the range of ``x``; that it may be seen twice, with gradient checkpointing, changes nothing."""
        low, high = (value.float() for value in torch.aminmax(x.detach()))
        if self.seen is not None:
            low, high = torch.minimum(low, self.seen[0]), torch.maximum(high, self.seen[1])
        self.seen = (low, high)
