"""Pictures drawn by code: the data of the benchmarks. What they show is of no account, but they do not repeat."""

import shutil
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw


def draw_picture(side: int, seed: int) -> Image.Image:
    """A few coloured shapes on a soft background, ``side`` x ``side`` pixels; the same for the same seed."""
    rng = np.random.default_rng(seed)
    corners = rng.integers(0, 256, (2, 2, 3), dtype=np.uint8)
    picture = Image.fromarray(corners).resize((side, side), Image.Resampling.BICUBIC)
    pen = ImageDraw.Draw(picture)
    for _ in range(12):
        x, y, size = rng.integers(0, side, 3)
        colour = tuple(int(value) for value in rng.integers(0, 256, 3))
        box = (int(x), int(y), int(x + size // 3 + 2), int(y + size // 3 + 2))
        (pen.ellipse if rng.random() < 0.5 else pen.rectangle)(box, fill=colour)
    return picture


def draw_folder(folder: str | Path, count: int, side: int, seed: int = 0, captions: bool = False) -> Path:
    """Fills a folder with ``count`` pictures and returns it; what was there is removed.

    Args:
        folder: made where it is not there.
        count: of pictures.
        side: of each, in pixels.
        seed: of the first; the others follow.
        captions: also write ``metadata.csv`` with ``file_name`` and ``text``, which diffkit and ``datasets`` read.
    """
    folder = Path(folder)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    lines = ["file_name,text"]
    for number in range(count):
        name = f"{number:03d}.png"
        draw_picture(side, seed + number).save(folder / name)
        lines.append(f"{name},a painting of shapes number {number}")
    if captions:
        (folder / "metadata.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder
