"""Signed distance functions of the shapes, and the patterns on them.

Coordinates are those of the object: the longer side of each shape reaches from about -1 to 1, the box around
it is centred on the origin, and y grows downwards. Distances are in the same unit and negative inside.
"""

import math
from collections.abc import Callable

import numpy as np

Field = Callable[[np.ndarray, np.ndarray], np.ndarray]

#: Lengths of the patterns, in units of half the object's longer side. They are coarse on purpose: on a medium
#: object of a 64 pixel picture, a pair of stripes is 8 pixels wide, so that a small VAE can carry it.
STRIPE_PERIOD = 0.60
CHECK_SIDE = 0.42
DOT_PERIOD = 0.62
DOT_RADIUS = 0.20

_RING_HOLE = 0.54
_STAR_OUTER = 1 / math.sin(2 * math.pi / 5)
_STAR_INNER = 0.46 * _STAR_OUTER
_STAR_SHIFT = _STAR_OUTER * (1 - math.cos(math.pi / 5)) / 2
_HEART_SCALE = 0.25 + math.sqrt(2) / 4


def _circle(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.hypot(x, y) - 1


def _ring(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    radius = np.hypot(x, y)
    return np.maximum(radius - 1, _RING_HOLE - radius)


def _square(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    # Slightly under 1, so that a rotated square is no larger than the other shapes.
    return np.maximum(np.abs(x), np.abs(y)) - 0.93


def _diamond(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    width = 0.74
    return (np.abs(x) / width + np.abs(y) - 1) * (width / math.hypot(1, width))


def _cross(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    x, y = np.abs(x), np.abs(y)
    arm = 0.36
    return np.minimum(np.maximum(x - 1, y - arm), np.maximum(x - arm, y - 1))


def _triangle(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    half_height = math.sqrt(3) / 2
    return np.maximum(half_height * np.abs(x) - 0.5 * y - half_height / 2, y - half_height)


def _star(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    y = y - _STAR_SHIFT  # a star is not as high below its centre as above: centre its box
    sector = 2 * math.pi / 5
    angle = np.abs(np.remainder(np.arctan2(x, -y) + sector / 2, sector) - sector / 2)
    radius = np.hypot(x, y)
    edge_x = _STAR_INNER * math.cos(sector / 2) - _STAR_OUTER
    edge_y = _STAR_INNER * math.sin(sector / 2)
    along, across = radius * np.cos(angle) - _STAR_OUTER, radius * np.sin(angle)
    return (along * edge_y - across * edge_x) / math.hypot(edge_x, edge_y)


def _heart(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    # Two half circles over a square that stands on its corner, in units of that square's diagonal.
    x, y = np.abs(x) * _HEART_SCALE, (0.5 + math.sqrt(2) / 4 + 0.25) / 2 - y * _HEART_SCALE
    lobe = np.hypot(x - 0.25, y - 0.75) - math.sqrt(2) / 4
    foot = 0.5 * np.maximum(x + y, 0)
    corner = np.sqrt(np.minimum(x**2 + (y - 1) ** 2, (x - foot) ** 2 + (y - foot) ** 2)) * np.sign(x - y)
    return np.where(x + y > 1, lobe, corner) / _HEART_SCALE


DISTANCES: dict[str, Field] = {
    "circle": _circle,
    "square": _square,
    "triangle": _triangle,
    "star": _star,
    "diamond": _diamond,
    "cross": _cross,
    "ring": _ring,
    "heart": _heart,
}


def _wave(x: np.ndarray, period: float) -> np.ndarray:
    """Signed distance to the nearest edge of bands that are ``period / 2`` wide; a negative band is at 0."""
    return (np.abs(np.remainder(x / period + 0.5, 1) - 0.5) - 0.25) * period


def pattern_mix(texture: str, x: np.ndarray, y: np.ndarray, unit: float) -> np.ndarray:
    """How much of the second colour shows, 0..1, at object coordinates ``x`` and ``y``.

    Args:
        texture: ``"striped"``, ``"dotted"`` or ``"checked"``.
        x: across the object.
        y: down the object, same shape as ``x``.
        unit: pixels to one unit of the coordinates; edges are one pixel soft.
    """
    if texture == "striped":
        return np.clip(0.5 + _wave(x, STRIPE_PERIOD) * unit, 0, 1)
    if texture == "checked":
        # Shifted by half a square, so that four squares meet in the middle of the object.
        across = np.clip(2 * unit * _wave(x + CHECK_SIDE / 2, 2 * CHECK_SIDE), -1, 1)
        down = np.clip(2 * unit * _wave(y + CHECK_SIDE / 2, 2 * CHECK_SIDE), -1, 1)
        return 0.5 + 0.5 * across * down
    if texture == "dotted":
        across = np.remainder(x + DOT_PERIOD / 2, DOT_PERIOD) - DOT_PERIOD / 2
        down = np.remainder(y + DOT_PERIOD / 2, DOT_PERIOD) - DOT_PERIOD / 2
        return np.clip(0.5 + (DOT_RADIUS - np.hypot(across, down)) * unit, 0, 1)
    raise ValueError(f"texture must be 'striped', 'dotted' or 'checked', got {texture!r}")
