"""Small picture files for tests."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image


def corners(width: int = 12, height: int = 8) -> Image.Image:
    """A picture whose corners differ: red, green, blue, and white, from the top left in reading order."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[: height // 2, : width // 2] = (255, 0, 0)
    pixels[: height // 2, width // 2 :] = (0, 255, 0)
    pixels[height // 2 :, : width // 2] = (0, 0, 255)
    pixels[height // 2 :, width // 2 :] = 255
    return Image.fromarray(pixels)


def noise(seed: int = 0, width: int = 16, height: int = 12) -> Image.Image:
    """A picture of random pixels."""
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


def folder_of(path: Path, count: int, width: int = 16, height: int = 12) -> Path:
    """Writes ``00.png``, ``01.png`` … with random pixels."""
    path.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        noise(index, width, height).save(path / f"{index:02d}.png")
    return path


def folder_of_shapes(path: Path, shapes: Sequence[tuple[int, int]]) -> Path:
    """Writes ``0.png``, ``1.png`` … with random pixels, each of its width and height."""
    path.mkdir(parents=True, exist_ok=True)
    for number, (width, height) in enumerate(shapes):
        noise(number, width, height).save(path / f"{number}.png")
    return path
