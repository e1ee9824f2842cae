"""Shares of pictures that are right, with their standard errors: what every metric of pictures reports."""

from collections.abc import Mapping, Sequence

import numpy as np


def standard_error(accuracy: float, n: int) -> float:
    """The binomial standard error of a share of ``n`` independent trials."""
    return float(np.sqrt(accuracy * (1 - accuracy) / n))


def shares(columns: Mapping[str, Sequence[bool]]) -> dict[str, float]:
    """Averages columns of rights and wrongs.

    Args:
        columns: name -> one value for each picture; an empty column is left out.

    Returns:
        For each column the share (0..1), its standard error (``..._se``) and the number (``..._n``).
    """
    metrics: dict[str, float] = {}
    for name, right in columns.items():
        if right:
            share = float(np.mean(right))
            metrics |= {name: share, f"{name}_se": standard_error(share, len(right)), f"{name}_n": len(right)}
    return metrics


def mean_and_error(name: str, values: Sequence[float]) -> dict[str, float]:
    """The mean of measured values, the standard error of that mean, and their number.

    The error is the sample deviation over the square root of n; 0 for a single value.
    """
    error = float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0
    return {name: float(np.mean(values)), f"{name}_se": error, f"{name}_n": len(values)}


def require(sample: Mapping[str, object], *names: str) -> None:
    """Raises ValueError when a sample that a metric shall process lacks a field."""
    missing = [name for name in names if name not in sample]
    if missing:
        wanted = " and ".join(map(repr, names))
        raise ValueError(f"data_samples must have {wanted}; a sample lacks {missing}")
