"""sRGB to CIE Lab, in which equal distances look about equally large."""

import numpy as np

_TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]],
    dtype=np.float32,
)
_WHITE = np.array([0.95047, 1.0, 1.08883], dtype=np.float32)


def rgb_to_lab(rgb: np.ndarray) -> np.ndarray:
    """Convert sRGB to Lab (white point D65).

    Args:
        rgb: ``[..., 3]``, each channel 0..1. Values outside are clipped.

    Returns:
        float32 ``[..., 3]``: L in 0..100, a and b in about -110..110.
    """
    rgb = np.clip(np.asarray(rgb, dtype=np.float32), 0, 1)
    linear = np.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** 2.4, rgb / 12.92)
    xyz = (linear @ _TO_XYZ.T) / _WHITE
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.stack(
        [116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], axis=-1
    ).astype(np.float32)


def palette_lab(palette: dict[str, tuple[int, int, int]]) -> np.ndarray:
    """The Lab values of a palette of sRGB colours 0..255, ``[len(palette), 3]`` in its order."""
    return rgb_to_lab(np.array(list(palette.values()), dtype=np.float32) / 255)
