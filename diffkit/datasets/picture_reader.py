"""Reads images of a folder: once before the training to verify them, and again when they are asked for."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from diffkit.datasets.image_file import (
    MAX_PIXELS,
    BadImageError,
    decode_image,
    file_digest,
    open_file,
    printable,
    read_size,
)
from diffkit.datasets.transforms import Compose, Picture, Size, SizedTransforms
from diffkit.datasets.verified import VerifiedFiles

#: A picture after all that always does the same to it; with buckets, one for each size that it is shown in.
Prepared = Picture | dict[Size, Picture]


class PictureReader:
    """Verifies an image by decoding all of it, unless an earlier start did so with the same bytes.

    Calls in several threads together need no more memory than the largest picture allowed.

    Args:
        transforms: what the picture has to stand.
        keep: the pixels are wanted, so every image is decoded.
        verified: what earlier starts found.
    """

    def __init__(self, transforms: Compose | SizedTransforms, keep: bool, verified: VerifiedFiles) -> None:
        self.transforms = transforms
        self.keep = keep
        self.verified = verified
        self._room = Room()

    def __call__(self, path: Path) -> tuple[str, Prepared | None]:
        """Returns the SHA-256 of the file, and if it is to be kept its picture after all that always does the same.

        Raises:
            BadImageError: it cannot be used.
            OSError: it cannot be read.
        """
        with open_file(path) as file:
            width, height = read_size(file)  # before the digest: a bomb costs next to nothing
            digest = file_digest(file)
            if not self.keep and self.verified.knows(digest):
                self.verified.add(digest, self.verified.size(digest))
                return digest, None
            with self._room.taken(width * height):
                picture = Picture.of(decode_image(file))
                prepared = transformed(picture, self.transforms)
            self.verified.add(digest, picture.original_size)
            return digest, prepared if self.keep else None


def transformed(picture: Picture, transforms: Compose | SizedTransforms) -> Prepared:
    """Applies all transforms, and returns the picture after those of them that always do the same.

    Raises:
        BadImageError: it does not stand them.
    """
    if isinstance(transforms, SizedTransforms):
        try:
            return {size: _applied(picture, transforms.of(size)) for size in transforms.sizes(picture.size)}
        except ValueError as error:  # too small or too narrow
            raise BadImageError(str(error)) from error
    return _applied(picture, transforms)


def _applied(picture: Picture, transforms: Compose) -> Picture:
    prefix, rest = transforms.split()
    try:
        picture = prefix(picture, no_chance())
        rest(picture, no_chance())
    except ValueError as error:  # a crop that does not fit
        raise BadImageError(str(error)) from error
    except MemoryError as error:
        raise BadImageError("not enough memory to transform it") from error
    return picture


class PictureLoader:
    """Reads an image again, and makes sure that it still is the one that was verified.

    Args:
        root: the folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def __call__(self, name: str, digest: str) -> Picture:
        """Returns the picture of a file.

        Raises:
            ValueError: it is not what it was, or gone.
        """
        path = self.root / name
        try:
            with open_file(path) as file:
                if file_digest(file) == digest:
                    return Picture.of(decode_image(file))
            what = "changed"
        except OSError as error:
            what = f"cannot be read any more ({error.strerror or error}); it changed or went"
        except BadImageError as error:
            what = f"changed ({error})"
        raise ValueError(f"{printable(path)} {what} while it was in use: start again")


def no_chance() -> np.random.Generator:
    """A generator for transforms that use none."""
    return np.random.default_rng(0)


class Room:
    """Pixels that may be decoded at the same time: those of the largest picture allowed."""

    def __init__(self) -> None:
        self.free = self.pixels = MAX_PIXELS
        self._changed = threading.Condition()

    @contextmanager
    def taken(self, pixels: int) -> Iterator[None]:
        """Waits until there is room for ``pixels``; more than there is at all waits until nobody else is there."""
        pixels = min(pixels, self.pixels)
        with self._changed:
            self._changed.wait_for(lambda: self.free >= pixels)
            self.free -= pixels
        try:
            yield
        finally:
            with self._changed:
                self.free += pixels
                self._changed.notify_all()
