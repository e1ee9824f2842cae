"""One image file: opened safely, turned upright, as RGB."""

import functools
import hashlib
import os
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

#: What is read, by Pillow's names. Nothing that Pillow would hand to another program (EPS) is among them.
FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "BMP", "GIF", "TIFF", "AVIF")
#: Suffixes of files that are taken for images.
SUFFIXES = frozenset({".jpg", ".jpeg", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif"})
#: Largest picture that is decoded, in pixels: enough for phone cameras, not for decompression bombs.
MAX_PIXELS = 128_000_000


class BadImageError(ValueError):
    """A file that cannot be used as a picture; the message says why, in words."""


def printable(path: str | os.PathLike[str]) -> str:
    """A path as text that can be printed and logged, whatever bytes its name holds."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def file_digest(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file's bytes, as 64 hex digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def open_image(path: str | os.PathLike[str], max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Decodes a picture: first frame, upright as its EXIF data says, RGB, transparency over white.

    The format is told from the content, not from the suffix. The size is checked before anything is decoded.

    Args:
        path: the file.
        max_pixels: larger pictures are refused.

    Raises:
        BadImageError: if the file is empty, truncated, too large, or no picture of a known format.
    """
    if os.path.getsize(path) == 0:
        raise BadImageError("the file is empty (0 bytes)")
    try:
        with Image.open(path, formats=_known_formats()) as file:
            _check_size(file.size, max_pixels)
            return to_rgb(upright(file))
    except BadImageError:
        raise
    except Image.DecompressionBombError as error:
        raise BadImageError(f"more than {max_pixels} pixels: {error}") from error
    except Image.UnidentifiedImageError as error:
        raise BadImageError(f"not a picture of a known format ({', '.join(FORMATS)})") from error
    except MemoryError as error:
        raise BadImageError("not enough memory to decode it") from error
    except (
        Exception
    ) as error:  # Pillow's decoders raise OSError, SyntaxError, ValueError, struct.error and others
        raise BadImageError(f"damaged or truncated ({error or type(error).__name__})") from error


@functools.cache
def _known_formats() -> tuple[str, ...]:
    Image.init()  # registers what this build of Pillow can read
    return tuple(name for name in FORMATS if name in Image.OPEN)


def _check_size(size: tuple[int, int], max_pixels: int) -> None:
    width, height = size
    if width * height > max_pixels:
        raise BadImageError(f"{width}x{height} are {width * height} pixels, allowed are {max_pixels}")


def upright(image: Image.Image) -> Image.Image:
    """Turns a picture as its EXIF data says, and forgets that data, so that it is not turned again."""
    image.load()
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # damaged EXIF data must not cost a sound picture: it is taken as it lies
        return image


def to_rgb(image: Image.Image) -> Image.Image:
    """Returns a picture of any mode as RGB; 16-bit and float levels are scaled, transparency is put on white.

    Raises:
        BadImageError: if a float picture holds values that are not finite.
    """
    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        return Image.fromarray(_eight_bit(np.asarray(image))).convert("RGB")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    return image.convert("RGB")


def _eight_bit(levels: np.ndarray) -> np.ndarray:
    """Grey levels as uint8: integers above 255 are taken as 16-bit, floats up to 1 as shares."""
    values = levels.astype(np.float32)
    if not np.isfinite(values).all():
        raise BadImageError("it holds values that are not finite")
    if levels.dtype.kind == "f":
        scale = 255.0 if values.max(initial=0) <= 1 else 1.0
    else:
        scale = 255.0 / 65535.0 if levels.dtype.itemsize == 2 or values.max(initial=0) > 255 else 1.0
    return np.clip(np.rint(values * scale), 0, 255).astype(np.uint8)


def leaves(path: Path, root: Path) -> bool:
    """Whether a path, with its links followed, lies outside ``root``."""
    return not path.resolve().is_relative_to(root.resolve())
