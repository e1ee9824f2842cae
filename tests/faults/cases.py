"""What a case of an odd image is, and the pictures that the cases are made of."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
CORNERS = (RED, GREEN, BLUE, WHITE)


@dataclass(frozen=True)
class Case:
    """A file and what has to become of it.

    Attributes:
        kind: what is odd about it.
        name: its name in the folder.
        reason: part of the reason for which it is refused; None where it is read.
        corners: colours of the four corners, in reading order, of a picture that is read; None leaves them open.
        tolerance: how far a channel may be off.
    """

    kind: str
    name: str
    reason: str | None = None
    corners: tuple[tuple[int, int, int], ...] | None = CORNERS
    tolerance: int = 8


def corners(width: int = 48, height: int = 32) -> Image.Image:
    """Red, green, blue and white quarters, in reading order."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[: height // 2, : width // 2], pixels[: height // 2, width // 2 :] = RED, GREEN
    pixels[height // 2 :, : width // 2], pixels[height // 2 :, width // 2 :] = BLUE, WHITE
    return Image.fromarray(pixels)


def noise(width: int = 64, height: int = 64, seed: int = 0) -> Image.Image:
    """Random pixels: no format makes a small file of them."""
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
