"""Pictures for people: grids with captions, and PNG files that say how they were made."""

import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

#: The PNG text field that holds our JSON.
PNG_KEY = "diffkit"

_MARGIN, _LINES, _FONT_SIZE = 6, 3, 13


def slug(text: str, length: int = 40) -> str:
    """Returns ``text`` as a part of a file name: lower case letters, digits and ``-``, never empty."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:length].strip("-") or "empty"


def save_png(image: Image.Image, path: str | Path, metadata: Mapping[str, Any] | None = None) -> Path:
    """Saves a picture with what it was made of, makes folders as needed, and returns the path.

    A half written file never has that name.

    Args:
        image: the picture.
        path: a file; metadata is kept only where it ends with ``.png``.
        metadata: plain values, such as prompt and seed.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    options: dict[str, Any] = {}
    if path.suffix.lower() == ".png" and metadata:
        options["pnginfo"] = PngInfo()
        options["pnginfo"].add_itxt(PNG_KEY, json.dumps(dict(metadata), ensure_ascii=False))
    aside = path.with_name(f".{path.name}.{os.getpid()}")  # two processes may make one picture
    try:
        image.save(aside, format=Image.registered_extensions()[path.suffix.lower()], **options)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
    return path


def read_png_metadata(path: str | Path) -> dict[str, Any]:
    """Returns what :func:`save_png` wrote into a file, with its pixels unread.

    An empty dict where the file is damaged, no PNG, not readable, or says nothing of it.

    Raises:
        FileNotFoundError: there is no such file.
    """
    try:
        with Image.open(path, formats=("PNG",)) as image:
            about = json.loads(image.info.get(PNG_KEY) or "{}")
    except FileNotFoundError:
        raise
    except Exception:  # whatever a damaged file makes Pillow raise
        return {}
    return about if isinstance(about, dict) else {}


def picture_grid(images: Sequence[Image.Image], captions: Sequence[str] | None = None,
                 columns: int | None = None, tile: int = 160) -> Image.Image:
    """Puts pictures into one, row by row, with a caption under each.

    Small pictures are enlarged by a whole factor, so that pixels stay pixels and captions can be read.

    Args:
        images: one or more pictures.
        captions: one for each picture; None leaves them out. A caption that needs more than three lines is
            cut.
        columns: pictures in a row; None makes the grid about square.
        tile: pixels that a picture is wide at least.

    Raises:
        ValueError: there is no picture, or the numbers of pictures and captions differ.
    """
    if not images:
        raise ValueError("images is empty: a grid needs one picture or more.")
    if captions is not None and len(captions) != len(images):
        raise ValueError(f"captions: {len(captions)} for {len(images)} images; one belongs to each.")
    columns = min(columns or math.ceil(math.sqrt(len(images))), len(images))
    tiles = [_enlarged(image, tile) for image in images]
    width, height = (max(size) for size in zip(*(image.size for image in tiles), strict=True))
    font = ImageFont.load_default(_FONT_SIZE)
    texts = [_wrapped(caption, font, width) for caption in captions or [""] * len(tiles)]
    text_height = (_FONT_SIZE + 3) * max(len(lines) for lines in texts)
    step_x, step_y = width + _MARGIN, height + text_height + _MARGIN
    rows = math.ceil(len(tiles) / columns)
    sheet = Image.new("RGB", (columns * step_x + _MARGIN, rows * step_y + _MARGIN), "white")
    draw = ImageDraw.Draw(sheet)
    for number, (image, lines) in enumerate(zip(tiles, texts, strict=True)):
        x, y = _MARGIN + number % columns * step_x, _MARGIN + number // columns * step_y
        sheet.paste(image, (x, y))
        for row, line in enumerate(lines):
            draw.text((x, y + height + 1 + row * (_FONT_SIZE + 3)), line, fill="black", font=font)
    return sheet


def _enlarged(image: Image.Image, tile: int) -> Image.Image:
    image = image.convert("RGB")
    factor = math.ceil(tile / image.width)
    size = (image.width * factor, image.height * factor)
    return image if factor == 1 else image.resize(size, Image.Resampling.NEAREST)


def _wrapped(text: str, font: Any, width: int) -> list[str]:
    """Breaks ``text`` into at most three lines that fit into ``width`` pixels."""
    lines: list[str] = []
    for word in text.split():
        if lines and font.getlength(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    if len(lines) > _LINES:
        lines = [*lines[:_LINES - 1], f"{lines[_LINES - 1]} …"]
    return [_cut(line, font, width) for line in lines]


def _cut(line: str, font: Any, width: int) -> str:
    if font.getlength(line) <= width:
        return line
    while line and font.getlength(f"{line}…") > width:
        line = line[:-1]
    return f"{line}…"
