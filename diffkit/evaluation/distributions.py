"""How far two sets of feature vectors are apart, and how sharp and varied class probabilities are."""

import itertools

import numpy as np


def frechet_distance(mean_1: np.ndarray, cov_1: np.ndarray, mean_2: np.ndarray, cov_2: np.ndarray) -> float:
    """The Fréchet distance of two normal distributions (Heusel et al. 2017).

    ``|m1 - m2|² + tr(C1 + C2 - 2 (C1 C2)^½)``. The trace of the root is that of ``(C1^½ C2 C1^½)^½``, whose eigenvalues
    are real, so that nothing has to be added to singular matrices.
    """
    values, vectors = np.linalg.eigh(cov_1)
    root = vectors * np.sqrt(np.clip(values, 0, None)) @ vectors.T
    product = np.linalg.eigvalsh(root @ cov_2 @ root)
    trace = np.sqrt(np.clip(product, 0, None)).sum()
    return float(((mean_1 - mean_2) ** 2).sum() + np.trace(cov_1) + np.trace(cov_2) - 2 * trace)


def moments(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean ``[D]`` and covariance ``[D, D]`` of features ``[N, D]``, in float64, with N - 1 below.

    Raises:
        ValueError: there are fewer than two.
    """
    if len(features) < 2:
        raise ValueError(f"features must be of two pictures or more, got {len(features)}")
    features = np.asarray(features, dtype=np.float64)
    return features.mean(0), np.cov(features, rowvar=False)


def kernel_distance(first: np.ndarray, second: np.ndarray, degree: int = 3) -> float:
    """The squared maximum mean discrepancy of features ``[N, D]``, without bias (Bińkowski et al. 2018).

    The kernel is ``(x·y / D + 1)^degree``.
    """
    first, second = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)

    def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return (a @ b.T / a.shape[1] + 1) ** degree

    def within(values: np.ndarray) -> float:
        return (values.sum() - np.trace(values)) / (len(values) * (len(values) - 1))

    across = kernel(first, second).mean()
    return float(within(kernel(first, first)) + within(kernel(second, second)) - 2 * across)


def kernel_distances(first: np.ndarray, second: np.ndarray, subsets: int, size: int, seed: int = 0) -> np.ndarray:
    """:func:`kernel_distance` of random subsets of both, ``[subsets]``.

    Raises:
        ValueError: a subset would be larger than a set, or smaller than two.
    """
    if not 2 <= size <= min(len(first), len(second)):
        raise ValueError(f"subset_size must be between 2 and the {min(len(first), len(second))} pictures, got {size}")
    rng = np.random.default_rng(seed)
    return np.array([
        kernel_distance(first[rng.choice(len(first), size, replace=False)],
                        second[rng.choice(len(second), size, replace=False)]) for _ in range(subsets)])


def inception_scores(logits: np.ndarray, splits: int, seed: int | None = 2020) -> np.ndarray:
    """The inception score of each part of class logits ``[N, K]`` (Salimans et al. 2016), ``[splits]``.

    ``exp(mean KL(p(y|x) || p(y)))``.

    Args:
        logits: of each picture.
        splits: parts, at most as many as pictures.
        seed: of the order in which pictures fall into parts; None keeps theirs.

    Raises:
        ValueError: there are fewer pictures than parts.
    """
    if not 1 <= splits <= len(logits):
        raise ValueError(f"splits must be between 1 and the {len(logits)} pictures, got {splits}")
    logits = np.asarray(logits, dtype=np.float64)
    if seed is not None:
        logits = logits[np.random.RandomState(seed).permutation(len(logits))]
    logs = logits - logits.max(1, keepdims=True)
    logs -= np.log(np.exp(logs).sum(1, keepdims=True))
    bounds = [len(logs) * i // splits for i in range(splits + 1)]
    found = []
    for start, end in itertools.pairwise(bounds):
        part = logs[start:end]
        chances = np.exp(part)
        whole = np.log(chances.mean(0, keepdims=True))
        found.append(np.exp((chances * (part - whole)).sum(1).mean()))
    return np.array(found)
