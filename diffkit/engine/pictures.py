"""Pictures that tell where they come from: PNG files with their settings inside, and captioned grids."""

import re
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

_MARGIN, _SMALLEST_CELL = 6, 128


def slug(text: str, length: int = 40) -> str:
    """Returns ``text`` as a part of a file name: lower case letters, digits and ``-``, never empty."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:length].strip("-") or "picture"


def save_picture(image: Image.Image, path: Path, settings: dict[str, Any]) -> None:
    """Writes a PNG whose text chunks hold ``settings``; a half written file never has that name."""
    chunks = PngInfo()
    for name, value in settings.items():
        chunks.add_itxt(name, str(value))
    aside = path.with_name(f".{path.name}")
    image.save(aside, format="PNG", pnginfo=chunks)
    aside.replace(path)


def read_settings(path: Path) -> dict[str, str]:
    """Returns the settings inside a PNG file."""
    with Image.open(path) as image:
        image.load()
        return {str(name): str(value) for name, value in image.info.items() if isinstance(value, str)}


def captioned_grid(rows: Sequence[tuple[str, Sequence[Image.Image]]], captions: Sequence[str]) -> Image.Image:
    """Puts rows of pictures under each other, with a label above each row and a caption below each column.

    Args:
        rows: (label, pictures) each; all rows have as many pictures as there are captions.
        captions: of the columns.

    Returns:
        An RGB picture; small pictures are shown enlarged by a whole factor, so that captions fit.
    """
    size = max(max(image.size) for _, images in rows for image in images)
    zoom = max(1, -(-_SMALLEST_CELL // size))
    cell = size * zoom
    font = ImageFont.load_default(size=12)
    lines = [textwrap.wrap(caption, max(10, cell // 6)) or [""] for caption in captions]
    line_height, label_height = 15, 18
    footer = line_height * max(map(len, lines)) + _MARGIN
    width = len(captions) * (cell + _MARGIN) + _MARGIN
    height = len(rows) * (cell + label_height + _MARGIN) + footer + _MARGIN
    sheet = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(sheet)
    for row, (label, images) in enumerate(rows):
        top = _MARGIN + row * (cell + label_height + _MARGIN)
        draw.text((_MARGIN, top), label, fill="black", font=font)
        for column, image in enumerate(images):
            place = (_MARGIN + column * (cell + _MARGIN), top + label_height)
            enlarged = image.convert("RGB").resize((image.width * zoom, image.height * zoom), Image.Resampling.NEAREST)
            sheet.paste(enlarged, place)
    for column, wrapped in enumerate(lines):
        corner = (_MARGIN + column * (cell + _MARGIN), height - footer)
        draw.text(corner, "\n".join(wrapped), fill="black", font=font)
    return sheet
