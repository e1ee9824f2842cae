"""The rows of a dataset of the hub's package: an image and its captions each, verified like files of a folder."""

import hashlib
import io
from pathlib import Path
from typing import Any

from PIL import Image

from diffkit.datasets.image_file import (
    MAX_BYTES,
    BadImageError,
    check_pixels,
    decode_image,
    file_digest,
    open_file,
    read_size,
    to_rgb,
    upright,
)
from diffkit.datasets.picture_reader import Room, transformed
from diffkit.datasets.transforms import Compose, Picture, SizedTransforms
from diffkit.datasets.verified import VerifiedFiles
from diffkit.datasets.verify import verify_each


class HubRows:
    """Rows of a table, of which those that can be used are known.

    Images are taken as the bytes that the dataset holds and decoded by diffkit, with its list of formats and its
    limits; where the dataset gives pictures they are taken as they are.

    Args:
        table: what ``datasets.load_dataset`` gives, one split.
        image_column: column of the images.
        caption_column: column of the captions.
    """

    def __init__(self, table: Any, image_column: str, caption_column: str) -> None:
        self.table = _undecoded(table, image_column)
        self.image_column = image_column
        self.caption_column = caption_column

    def verify(self, transforms: Compose | SizedTransforms, verified: VerifiedFiles, bad_images: str, what: str
               ) -> tuple[dict[str, str], dict[str, str]]:
        """Decodes every image that no earlier start has seen, in parallel.

        Args:
            transforms: what the pictures have to stand.
            verified: what earlier starts found; it is saved.
            bad_images: ``"stop"`` or ``"skip"``.
            what: the dataset, for messages.

        Returns:
            The digest of each row that can be used, and the reasons of the others, by ``row N``.

        Raises:
            ValueError: naming all bad rows at once, under ``"stop"`` or when no row is left.
        """
        room = Room()

        def read(name: str) -> str:
            row = self._row(name)
            self._captions(row)
            content, digest, pixels = self._content(row)
            if verified.knows(digest):
                verified.add(digest, verified.size(digest))
            else:
                with room.taken(pixels):
                    picture = Picture.of(_decoded(content))
                    transformed(picture, transforms)
                verified.add(digest, picture.original_size)
            return digest

        try:
            names = [f"row {index}" for index in range(len(self.table))]
            return verify_each(names, read, bad_images=bad_images, what=what, noun="rows")
        finally:
            verified.save()

    def read(self, name: str) -> tuple[Picture, str, list[str]]:
        """The picture of a row before any transform, its digest, and its captions.

        Raises:
            BadImageError: it cannot be used.
        """
        row = self._row(name)
        content, digest, _ = self._content(row)
        return Picture.of(_decoded(content)), digest, self._captions(row)

    def _row(self, name: str) -> dict[str, Any]:
        try:
            return self.table[int(name.removeprefix("row "))]
        except (SyntaxError, ValueError) as error:  # a table that decodes pictures itself
            raise BadImageError(f"damaged or truncated ({error})") from error

    def _captions(self, row: dict[str, Any]) -> list[str]:
        value = row[self.caption_column]
        texts = value if isinstance(value, list) else [value]
        kept = [text for text in texts if isinstance(text, str) and text.strip()]
        if not kept:
            raise BadImageError(f"{self.caption_column} is empty")
        return kept

    def _content(self, row: dict[str, Any]) -> tuple[Image.Image | io.BytesIO, str, int]:
        """The picture or its file, the digest, and the number of pixels."""
        cell = row[self.image_column]
        if isinstance(cell, Image.Image):
            check_pixels(cell.size)
            image = to_rgb(upright(cell))
            digest = hashlib.sha256(str(image.size).encode() + image.tobytes()).hexdigest()
            return image, digest, image.width * image.height
        file = io.BytesIO(self._bytes(cell))
        width, height = read_size(file)
        return file, file_digest(file), width * height

    def _bytes(self, cell: Any) -> bytes:
        if isinstance(cell, dict) and isinstance(cell.get("bytes"), bytes):
            if len(cell["bytes"]) > MAX_BYTES:
                raise BadImageError(f"it has {len(cell['bytes'])} bytes, allowed are {MAX_BYTES}")
            return cell["bytes"]
        if isinstance(cell, dict) and isinstance(cell.get("path"), str):
            with open_file(Path(cell["path"])) as file:
                return file.read()
        raise BadImageError(f"{self.image_column} is {type(cell).__name__}, not an image")


def load_table(name: str, config_name: str | None, split: str, user: str) -> Any:
    """One split of a dataset of the hub; code of its author is never run.

    Args:
        name: on the hub, or a folder.
        config_name: which configuration, where there are several.
        split: which part.
        user: who needs the package ``datasets``, for the message where it is missing.

    Raises:
        ImportError: it is not installed.
    """
    try:
        import datasets
    except ImportError as error:
        raise ImportError(f"{user} needs the package `datasets`: pip install datasets") from error
    return datasets.load_dataset(name, config_name, split=split)


def _undecoded(table: Any, column: str) -> Any:
    """The table with the bytes of its images in place of pictures, where it can give them."""
    import datasets

    kind = getattr(datasets, "Image", None)
    features = getattr(table, "features", None) or {}
    if kind is None or not isinstance(features.get(column), kind):
        return table
    return table.cast_column(column, kind(decode=False))


def _decoded(content: Image.Image | io.BytesIO) -> Image.Image:
    return content if isinstance(content, Image.Image) else decode_image(content)
