"""One image file: opened safely, turned upright, as RGB."""

import functools
import hashlib
import io
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

#: What is read, by Pillow's names. Nothing that Pillow would hand to another program (EPS) is among them.
FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "BMP", "GIF", "TIFF", "AVIF")
#: Suffixes of files that are taken for images.
SUFFIXES = frozenset({".jpg", ".jpeg", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif"})
#: Largest picture that is decoded, in pixels: enough for phone cameras, not for decompression bombs.
MAX_PIXELS = 128_000_000
#: Largest file that is read, in bytes: MAX_PIXELS without compression, 16 bits for each of four channels.
MAX_BYTES = 8 * MAX_PIXELS
#: A JPEG may say its pixels over and over. That many times the largest picture is some seconds of work.
MAX_SCANS = 20

#: A file that is open for reading, or its bytes.
OpenFile = io.BufferedReader | io.BytesIO


class BadImageError(ValueError):
    """A file that cannot be used as a picture; the message says why, in words."""


def printable(path: str | os.PathLike[str]) -> str:
    """A path as text that can be printed and logged on one line, whatever bytes its name holds."""
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def file_digest(source: str | os.PathLike[str] | OpenFile) -> str:
    """SHA-256 of a file's bytes, as 64 hex digits."""
    if isinstance(source, (str, os.PathLike)):
        with open(source, "rb") as file:
            return file_digest(file)
    source.seek(0)
    return hashlib.file_digest(source, "sha256").hexdigest()


def open_image(path: str | os.PathLike[str], max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Decodes a picture: first frame, upright as its EXIF data says, RGB, transparency over white.

    The format is told from the content, not from the suffix. The size is checked before anything is decoded.

    Args:
        path: the file.
        max_pixels: larger pictures are refused.

    Raises:
        BadImageError: if the file is empty, truncated, too large, or no picture of a known format.
    """
    with open_file(path) as file:
        return decode_image(file, max_pixels)


def open_file(path: str | os.PathLike[str]) -> OpenFile:
    """Opens a file to read a picture from it.

    Raises:
        BadImageError: it is empty, too large, or no file (a pipe, a device).
        OSError: it cannot be opened.
    """
    about = os.stat(path)
    if not stat.S_ISREG(about.st_mode):
        raise BadImageError("not a file but a pipe, a socket or a device")
    if about.st_size == 0:
        raise BadImageError("the file is empty (0 bytes)")
    if about.st_size > MAX_BYTES:
        raise BadImageError(f"the file has {about.st_size} bytes, allowed are {MAX_BYTES}")
    return open(path, "rb")


def read_size(file: OpenFile, max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """Reads the header of a picture and decodes nothing.

    Returns:
        Width and height as they are stored, before EXIF data turns the picture.

    Raises:
        BadImageError: it is too large, or no picture of a known format.
    """
    with _header(file, max_pixels) as image:
        return image.size


def decode_image(file: OpenFile, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Decodes a picture from an open file; see :func:`open_image`.

    Raises:
        BadImageError: it is truncated, too large, or no picture of a known format.
    """
    with _header(file, max_pixels) as image:
        if image.format in ("JPEG", "MPO"):
            _check_scans(file, image.size, max_pixels)
        return to_rgb(upright(image))


@contextmanager
def _header(file: OpenFile, max_pixels: int) -> Iterator[Image.Image]:
    """A picture that is not decoded yet and small enough; whatever fails inside becomes a BadImageError."""
    try:
        file.seek(0)
        with Image.open(file, formats=_known_formats()) as image:
            check_pixels(image.size, max_pixels)
            yield image
    except BadImageError:
        raise
    except Image.DecompressionBombError as error:  # Pillow's own limit is about 179 million
        claimed = re.search(r"\((\d+) pixels", str(error))
        words = f"{claimed[1]} pixels, allowed are {max_pixels}" if claimed else f"too many pixels ({error})"
        raise BadImageError(words) from error
    except Image.UnidentifiedImageError as error:
        raise BadImageError(f"not a picture of a known format ({', '.join(FORMATS)})") from error
    except MemoryError as error:
        raise BadImageError("not enough memory to decode it") from error
    # Pillow's decoders raise OSError, SyntaxError, ValueError, struct.error and others
    except Exception as error:
        raise BadImageError(_fault(error)) from error


def _fault(error: Exception) -> str:
    text = str(error) or type(error).__name__
    if "MAX_TEXT" in text:
        return "a text or a colour profile inside unpacks to far more than its size"
    return f"damaged or truncated ({text})"


@functools.cache
def _known_formats() -> tuple[str, ...]:
    Image.init()  # registers what this build of Pillow can read
    return tuple(name for name in FORMATS if name in Image.OPEN)


def check_pixels(size: tuple[int, int], max_pixels: int = MAX_PIXELS) -> None:
    """Raises BadImageError for a picture of (width, height) that is too large."""
    width, height = size
    if width * height > max_pixels:
        raise BadImageError(f"{width}x{height} are {width * height} pixels, allowed are {max_pixels}")


def _check_scans(file: OpenFile, size: tuple[int, int], max_pixels: int) -> None:
    """Refuses a JPEG that is small in bytes and pixels and still takes hours, for it has thousands of scans."""
    scans = count_scans(_all_of(file))
    if scans * size[0] * size[1] > MAX_SCANS * max_pixels:
        raise BadImageError(f"{scans} scans of {size[0]}x{size[1]} pixels would take very long to decode")


def count_scans(data: bytes) -> int:
    """How many times a JPEG goes over its pixels: its markers "start of scan", up to its end.

    What follows the end (the video of a phone's photograph) is not looked at, nor are embedded thumbnails.
    """
    scans, place = 0, 2
    while marker := _MARKER.search(data, place):
        kind, place = data[marker.start() + 1], marker.end()
        if kind == 0xD9:  # end of image
            break
        scans += kind == 0xDA
        if kind not in (0x01, 0xD8):  # all others have a length
            place += int.from_bytes(data[place : place + 2])
    return scans


#: Two bytes that begin a segment; inside of a scan FF is followed by 00 or a restart marker.
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)


def _all_of(file: OpenFile) -> bytes:
    place = file.tell()
    file.seek(0)
    data = file.read()
    file.seek(place)
    return data


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
    return not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root))
