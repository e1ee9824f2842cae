"""Pictures inside the page: checked, decoded and encoded anew, so that nothing of a file but its pixels gets in."""

import base64
import io
from pathlib import Path

from PIL import Image

from diffkit.apis.report.markup import Html, tag
from diffkit.datasets.image_file import BadImageError, leaves, open_image

MAX_PIXELS = 40_000_000  # of a picture that is read: more than any model here paints
_SMALL = 128  # pixels; up to here pixels stay pixels: no loss, and no smoothing on the screen


def picture(path: Path, alt: str, side: int, root: Path | None = None) -> Html:
    """An ``img`` with the picture in it; words in its place where the file cannot be shown.

    Args:
        path: the file.
        alt: what it shows, for those who cannot see it.
        side: the longer side at most, in pixels.
        root: a folder that the file has to lie in, its links followed.
    """
    try:
        if root is not None and leaves(path, root):
            raise BadImageError("it is a link to a place outside of the folder")
        image = open_image(path, MAX_PIXELS)
    except (BadImageError, OSError) as error:
        return tag("div", f"{path.name}: {error}", class_="missing")
    return embed(image, alt, side)


def embed(image: Image.Image, alt: str, side: int) -> Html:
    """An ``img`` with a picture in it, made smaller where a side is longer than ``side``."""
    if max(image.size) > side:
        image = image.copy()
        image.thumbnail((side, side), Image.Resampling.LANCZOS)
    data, kind = io.BytesIO(), "png" if max(image.size) <= _SMALL else "jpeg"
    if kind == "png":
        image.save(data, format="PNG", optimize=True)
    else:
        image.save(data, format="JPEG", quality=88, subsampling=0)
    text = base64.b64encode(data.getvalue()).decode("ascii")
    return tag("img", src=f"data:image/{kind};base64,{text}", alt=alt, width=image.width, height=image.height,
               class_="pixels" if max(image.size) <= _SMALL else None)
