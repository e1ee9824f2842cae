"""Integer codes of weights: their limits, and two of four bits in a byte."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class LayerCodes:
    """All that a quantised layer computes with.

    Attributes:
        codes: int8, of the weight's shape [out, ...]; ``codes * weight_scale`` is the weight.
        weight_bits: 2 to 8; codes lie in ``weight_limits(weight_bits)``.
        weight_scale: float32 [out].
        input_bits: 2 to 8; None leaves the input as it is.
        input_scale: float32 [], None without ``input_bits``.
        input_zero_point: int32 [], in ``range(2 ** input_bits)``; None without ``input_bits``.
        bias: [out], or None.
    """

    codes: Tensor
    weight_bits: int
    weight_scale: Tensor
    input_bits: int | None
    input_scale: Tensor | None
    input_zero_point: Tensor | None
    bias: Tensor | None


def weight_limits(bits: int) -> tuple[int, int]:
    """The least and the largest code of a weight: ``-2 ** (bits - 1)`` and ``2 ** (bits - 1) - 1``."""
    return -(2 ** (bits - 1)), 2 ** (bits - 1) - 1


def stored_shape(shape: tuple[int, ...] | torch.Size, bits: int) -> tuple[tuple[int, ...], torch.dtype]:
    """Shape and dtype in which codes of a weight are kept: two of up to four bits share a byte of their row."""
    if bits > 4:
        return tuple(shape), torch.int8
    row = 1
    for side in shape[1:]:
        row *= side
    return (shape[0], (row + 1) // 2), torch.uint8


def pack(codes: Tensor, bits: int) -> Tensor:
    """Codes int8 [out, ...] as they are kept: see :func:`stored_shape`. The first of two codes has the low half."""
    if bits > 4:
        return codes.contiguous()
    rows = codes.flatten(1)
    if rows.shape[1] % 2:
        rows = torch.nn.functional.pad(rows, (0, 1))
    halves = rows.view(torch.uint8) & 15
    return halves[:, ::2] | (halves[:, 1::2] << 4)


def unpack(stored: Tensor, bits: int, shape: tuple[int, ...] | torch.Size) -> Tensor:
    """The inverse of :func:`pack`: int8 codes of ``shape``."""
    if bits > 4:
        return stored
    halves = torch.stack([stored & 15, stored >> 4], dim=-1).flatten(1).view(torch.int8)
    row = 1
    for side in shape[1:]:
        row *= side
    return ((halves ^ 8) - 8)[:, :row].reshape(shape)  # four bits with a sign
