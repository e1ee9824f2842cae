"""The change of a matrix by a few of its singular values."""

import torch
from torch import Tensor


def low_rank(change: Tensor, share: float) -> tuple[Tensor, Tensor]:
    """Splits a matrix [m, n] into factors [m, r] and [r, n] whose product is the best of rank r (Eckart and Young).

    Args:
        change: the matrix.
        share: r is the smallest number of singular values, largest first, with at least this share of the sum of all;
            above 0 and at most 1. With 1 the product is the matrix, up to rounding.

    Returns:
        Both factors, in the dtype and on the device of ``change``; the singular values are in the first.
    """
    if change.dim() != 2:
        raise ValueError(f"a matrix is needed, got a tensor of shape {list(change.shape)}")
    if not 0 < share <= 1:
        raise ValueError(f"share is {share}; it must be above 0 and at most 1.")
    left, values, right = torch.linalg.svd(change.detach().double(), full_matrices=False)
    rank = len(values)
    if share < 1:
        enough = values.cumsum(0) >= share * values.sum()
        rank = int(enough.int().argmax()) + 1
    return (left[:, :rank] * values[:rank]).to(change), right[:rank].to(change)
