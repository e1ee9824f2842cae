"""One matrix for several concepts, without a training (Kumari et al. 2023, equation 4 and appendix A)."""

import torch
from torch import Tensor


def constrained_update(weight: Tensor, ordinary: Tensor, targets: Tensor, values: Tensor,
                       ridge: float = 1e-4) -> Tensor:
    """The matrix W' that maps ``targets`` to ``values`` exactly and moves ``ordinary`` features as little as it can.

    It minimises ``|(W' - W) Creg^T|`` subject to ``W' C^T = V^T``: with ``D = C (Creg^T Creg)^-1`` it is
    ``W' = W + (V^T - W C^T) (D C^T)^-1 D``. All is computed in float64.

    Text features never span the whole space, for a layer norm was their last step. Where they do not, the formula alone
    would let W' be of any size. So ``ridge`` times the mean square of the ordinary features is added to the diagonal of
    ``Creg^T Creg``: it holds W' near to W there, and the constraint as exact as before.

    Args:
        weight: W, [m, d].
        ordinary: Creg, features of ordinary captions, [N, d].
        targets: C, features of the words that are to be kept, [n, d], n at most d.
        values: V, what each target shall be mapped to, [n, m].
        ridge: 0 or more; 0 is the formula of the paper.

    Raises:
        ValueError: the targets are not independent, or so nearly that no matrix does it to 1e-4 in its number format.
    """
    old, regular, wanted, goal = (value.detach().double() for value in (weight, ordinary, targets, values))
    gram = regular.T @ regular
    gram += ridge * gram.diagonal().mean() * torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    directions = torch.linalg.solve(gram, wanted.T).T
    system = directions @ wanted.T
    missing = goal.T - old @ wanted.T
    try:
        new = old + torch.linalg.solve(system.T, missing.T).T @ directions
    except RuntimeError:  # torch's error for a singular matrix
        new = torch.full_like(old, torch.nan)
    rounded = new.to(weight)
    error = (rounded.double() @ wanted.T - goal.T).abs().max()
    if not error <= 1e-4 * max(1.0, goal.abs().max().item()):
        raise ValueError(f"{len(targets)} features in {targets.shape[1]} dimensions cannot all be given values of "
                         "their own: the concepts name the same words, or too many.")
    return rounded


def distinct_rows(rows: Tensor, tolerance: float = 1e-5) -> list[int]:
    """The indices of rows [n, d] that are not, up to a share ``tolerance`` of their length, an earlier row again."""
    kept: list[int] = []
    for i, row in enumerate(rows):
        if all((row - rows[j]).norm() > tolerance * row.norm() for j in kept):
            kept.append(i)
    return kept
