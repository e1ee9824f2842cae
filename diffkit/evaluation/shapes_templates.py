"""What the shapes and patterns of the shapes world look like on a small grid over the object's box."""

from functools import cache

import numpy as np
from scipy import ndimage

from diffkit.datasets.shapes.distance import CHECK_SIDE, DISTANCES, DOT_PERIOD, DOT_RADIUS, STRIPE_PERIOD
from diffkit.datasets.shapes.vocabulary import SHAPES

_GRID = 32  # side of the normalised masks that shapes and textures are compared on
_ROTATIONS = (-0.14, -0.07, 0.0, 0.07, 0.14)


def object_box(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Top, bottom, left and right; bottom and right are one past the last pixel."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def _unit_line() -> np.ndarray:
    return ((np.arange(_GRID) + 0.5) / _GRID * 2 - 1).astype(np.float32)


def box_grid(x: float, y: float, half: float) -> np.ndarray:
    """Pixel coordinates (row, column) of a grid over the square of side ``2 * half`` around (x, y)."""
    line = _unit_line() * half - 0.5
    return np.stack(np.meshgrid(line + y, line + x, indexing="ij"))


@cache
def shape_templates() -> np.ndarray:
    """Normalised masks of each shape in each rotation, ``[shapes, rotations, pixels]``."""
    side = 96
    line = ((np.arange(side) + 0.5) / side * 2 - 1) / 0.8
    y, x = np.meshgrid(line, line, indexing="ij")
    templates = []
    for shape in SHAPES:
        for angle in _ROTATIONS:
            cos, sin = np.cos(angle), np.sin(angle)
            mask = DISTANCES[shape](cos * x + sin * y, cos * y - sin * x) < 0
            top, bottom, left, right = object_box(mask)
            half = 1.05 * max(bottom - top, right - left) / 2
            at = box_grid((left + right) / 2, (top + bottom) / 2, half)
            templates.append(ndimage.map_coordinates(mask.astype(np.float32), at, order=1).ravel())
    return np.stack(templates).reshape(len(SHAPES), len(_ROTATIONS), -1)


@cache
def pattern_templates() -> tuple[np.ndarray, list[str]]:
    """Patterns of -1 and 1 on the normalised grid, ``[patterns, pixels]``, and the texture of each.

    They differ in period, direction and shift, because a model need not place its patterns as drawings do.
    """
    line = _unit_line() * 1.05
    y, x = np.meshgrid(line, line, indexing="ij")
    templates, textures = [], []
    shifts = np.arange(6) / 6
    for scale in (0.92, 1.0, 1.08):
        for angle in _ROTATIONS:
            for turn in (0, 45, 90, 135):
                direction = angle + np.deg2rad(turn)
                along = (np.cos(direction) * x + np.sin(direction) * y) / (STRIPE_PERIOD * scale)
                for shift in shifts / 2:
                    templates.append(np.cos(2 * np.pi * (along + shift)) < 0)
                    textures.append("striped")
        for angle in (-0.08, 0.0, 0.08):
            along, down = np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x
            for shift_x in shifts:
                for shift_y in shifts:
                    u, v = along / (CHECK_SIDE * scale) + shift_x, down / (CHECK_SIDE * scale) + shift_y
                    templates.append(np.sin(np.pi * u) * np.sin(np.pi * v) > 0)
                    textures.append("checked")
                    u = np.remainder(along / (DOT_PERIOD * scale) + shift_x, 1) - 0.5
                    v = np.remainder(down / (DOT_PERIOD * scale) + shift_y, 1) - 0.5
                    templates.append(np.hypot(u, v) < DOT_RADIUS / DOT_PERIOD)
                    textures.append("dotted")
    signs = np.stack(templates).reshape(len(templates), -1).astype(np.float32) * 2 - 1
    return signs, textures
