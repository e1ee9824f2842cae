"""How near two pictures are, pixel by pixel."""

import numpy as np
from scipy.ndimage import gaussian_filter

_SIGMA = 1.5
#: Side of the window, in pixels; pictures smaller than that have no structural similarity (Wang et al. 2004).
WINDOW = 11


def ssim(first: np.ndarray, second: np.ndarray) -> float:
    """Structural similarity of two uint8 pictures ``[H, W, 3]``, -1 to 1; 1 for equal ones.

    The mean over colours and over all pixels whose window of 11 x 11 lies in the picture (Wang et al. 2004: Gaussian of
    1.5, K1 = 0.01, K2 = 0.03), as scikit-image's ``structural_similarity`` with ``gaussian_weights`` and without
    ``use_sample_covariance``.

    Raises:
        ValueError: the shapes differ, or a side is shorter than the window.
    """
    if first.shape != second.shape:
        raise ValueError(f"second must have the shape of first, {first.shape}, got {second.shape}")
    if min(first.shape[:2]) < WINDOW:
        raise ValueError(f"first must be at least {WINDOW} pixels high and wide, got {first.shape[:2]}")
    values = [_map(first[..., c].astype(np.float64), second[..., c].astype(np.float64)) for c in range(first.shape[2])]
    edge = WINDOW // 2
    return float(np.mean([value[edge:-edge, edge:-edge] for value in values]))


def _map(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    first, second = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mean_x, mean_y = _blurred(x), _blurred(y)
    variance_x, variance_y = _blurred(x * x) - mean_x**2, _blurred(y * y) - mean_y**2
    covariance = _blurred(x * y) - mean_x * mean_y
    return ((2 * mean_x * mean_y + first) * (2 * covariance + second)
            / ((mean_x**2 + mean_y**2 + first) * (variance_x + variance_y + second)))


def _blurred(values: np.ndarray) -> np.ndarray:
    return gaussian_filter(values, _SIGMA, truncate=(WINDOW // 2) / _SIGMA)
