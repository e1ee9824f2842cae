"""Which range of values the integer codes of a layer cover.

Weights have a symmetric range for each output channel, inputs one affine range for the whole tensor. Four ways to
choose it: ``minmax`` covers everything; ``percentile`` leaves out the tails; ``mse`` is the range whose rounding and
clipping errors have the least mean square; ``moving_average`` (inputs only) averages the minima and maxima of batches,
as the observers of torch do.
"""

import torch
from torch import Tensor

WEIGHT_RANGES = ("minmax", "percentile", "mse")
INPUT_RANGES = ("minmax", "moving_average", "percentile", "mse")

#: Fractions of the largest value that are tried for weights, and of both ends for inputs, which may have far outliers.
_WEIGHT_GRID = torch.linspace(0.35, 1.0, 27)
_INPUT_GRID = torch.logspace(0, -2, 15)
_LEAST = 1e-8


def affine(low: Tensor, high: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """Scale (float32) and zero point (int32) of unsigned codes that cover ``[low, high]``; 0 has a code of its own."""
    low, high, last = low.clamp(max=0).float(), high.clamp(min=0).float(), 2**bits - 1
    scale = ((high - low) / last).clamp(min=_LEAST)
    return scale, (-low / scale).round().clamp(0, last).to(torch.int32)


def weight_scale(weight: Tensor, bits: int, kind: str, percentile: float = 99.9) -> Tensor:
    """The scale of each output channel, float32 [out].

    Args:
        weight: [out, ...].
        bits: 2 to 8; codes go from ``-2 ** (bits - 1)`` to ``2 ** (bits - 1) - 1``.
        kind: one of :data:`WEIGHT_RANGES`.
        percentile: of the absolute values, for that kind, in (50, 100].
    """
    rows = weight.detach().flatten(1).float()
    largest, last = rows.abs().amax(1).clamp(min=_LEAST), 2 ** (bits - 1) - 1
    if kind == "minmax":
        return largest / last
    if kind == "percentile":
        rank = max(1, round(rows.shape[1] * percentile / 100))
        return rows.abs().kthvalue(rank, dim=1).values.clamp(min=_LEAST) / last
    best = torch.full_like(largest, float("inf"))
    found = largest / last
    for fraction in _WEIGHT_GRID.tolist():
        scale = largest * fraction / last
        error = ((rows / scale[:, None]).round_().clamp_(-last - 1, last).mul_(scale[:, None]) - rows).square_().mean(1)
        found = torch.where(error < best, scale, found)
        best = torch.minimum(error, best)
    return found


class InputRecord:
    """What was seen of a layer's inputs while a model sampled.

    Args:
        samples: values kept of each input, for ``percentile`` and ``mse``.
        momentum: of the moving average.
        seed: of the choice of values.
    """

    def __init__(self, samples: int = 512, momentum: float = 0.01, seed: int = 0) -> None:
        self.samples, self.momentum = samples, momentum
        self.low = self.high = self.average_low = self.average_high = torch.zeros(())
        self.values: list[Tensor] = []
        self._generator = torch.Generator().manual_seed(seed)

    def add(self, x: Tensor) -> None:
        """Looks at one input."""
        flat = x.detach().flatten()
        low, high = (value.float() for value in torch.aminmax(flat))
        if not self.values:
            self.low, self.high, self.average_low, self.average_high = low, high, low, high
        else:
            self.low, self.high = torch.minimum(self.low, low), torch.maximum(self.high, high)
            self.average_low = torch.lerp(self.average_low, low, self.momentum)
            self.average_high = torch.lerp(self.average_high, high, self.momentum)
        chosen = torch.randint(flat.numel(), (self.samples,), generator=self._generator)
        self.values.append(flat[chosen.to(flat.device)].float())

    def range(self, kind: str, bits: int, percentile: float = 99.9) -> tuple[Tensor, Tensor]:
        """The least and the largest value that get a code of their own.

        Args:
            kind: one of :data:`INPUT_RANGES`.
            bits: 2 to 8.
            percentile: the share of values between the two, in (50, 100].
        """
        if kind == "moving_average":
            return self.average_low, self.average_high
        if kind == "minmax":
            return self.low, self.high
        values = torch.cat(self.values)
        if kind == "percentile":
            tail = (1 - percentile / 100) / 2
            ordered = values.sort().values
            last = len(ordered) - 1
            return ordered[round(tail * last)], ordered[round((1 - tail) * last)]
        return least_error_range(values, self.low.clamp(max=0), self.high.clamp(min=0), bits)


def least_error_range(values: Tensor, low: Tensor, high: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """The range inside ``[low, high]`` whose codes stand for ``values`` [n] with the least mean squared error."""
    fractions, count = _INPUT_GRID.to(values.device), len(_INPUT_GRID)
    lows = (fractions[:, None] * low).expand(-1, count).flatten()
    highs = (fractions[None] * high).expand(count, -1).flatten()
    scale, zero = affine(lows, highs, bits)
    scales, zeros = scale[:, None], zero[:, None]
    errors = torch.cat([  # in parts, for there may be many values
        (values / s).round_().add_(z).clamp_(0, 2**bits - 1).sub_(z).mul_(s).sub_(values).square_().mean(1)
        for s, z in zip(scales.split(16), zeros.split(16), strict=True)])
    best = int(errors.argmin())
    return lows[best], highs[best]
