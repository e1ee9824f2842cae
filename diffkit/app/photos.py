"""Photographs that were dropped into the page: limited, checked, and kept in a folder until a training takes them."""

import hashlib
import io
import secrets
import shutil
import tempfile
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path

from diffkit.app.fields import FieldError

#: Of one training.
MOST_PHOTOS = 50
#: Of one file.
MOST_BYTES = 25_000_000
#: Of one picture: more than the cameras of phones have.
MOST_PIXELS = 64_000_000
#: Pixels of the shorter side: below that nobody could say what a picture shows.
LEAST_SIDE = 16
#: Sets that are kept; the oldest is dropped for a new one.
MOST_SETS = 8

_SUFFIXES = {"JPEG": ".jpg", "MPO": ".jpg", "PNG": ".png", "WEBP": ".webp", "BMP": ".bmp", "GIF": ".gif",
             "TIFF": ".tif", "AVIF": ".avif"}


@dataclass
class PhotoSet:
    """Photographs of one subject.

    Attributes:
        folder: where they lie.
        names: file in ``folder`` by SHA-256, in the order in which they came.
    """

    folder: Path
    names: dict[str, str] = field(default_factory=dict)
    count: int = 0


class Photos:
    """Sets of photographs, each with a key that nobody can guess."""

    def __init__(self) -> None:
        self._sets: OrderedDict[str, PhotoSet] = OrderedDict()
        self._place = tempfile.TemporaryDirectory(prefix="diffkit-photos-", ignore_cleanup_errors=True)
        self._lock = threading.Lock()

    def close(self) -> None:
        """Removes all that no training took."""
        self._place.cleanup()

    def new(self) -> str:
        """Begins a set and returns its key."""
        with self._lock:
            while len(self._sets) >= MOST_SETS:
                _, old = self._sets.popitem(last=False)
                shutil.rmtree(old.folder, ignore_errors=True)
            key = secrets.token_hex(8)
            self._sets[key] = PhotoSet(Path(tempfile.mkdtemp(dir=self._place.name)))
        return key

    def add(self, key: str, name: str, data: bytes) -> dict[str, int | str]:
        """Checks a file as the data sets do, decodes it, and keeps it under a name of our own.

        Args:
            key: of the set.
            name: what the file is called, for messages alone.
            data: its bytes.

        Returns:
            ``name`` in the set, ``width`` and ``height`` in pixels.

        Raises:
            FieldError: it is too large or too small, no picture, damaged, there already, or one too many.
        """
        from diffkit.datasets.image_file import BadImageError, decode_image, printable

        shown = printable(name[:120])
        if len(data) > MOST_BYTES:
            raise FieldError("photos", f"{shown} has {len(data)} bytes; allowed: {MOST_BYTES} at most")
        if not data:
            raise FieldError("photos", f"{shown} is empty (0 bytes)")
        try:
            picture = decode_image(io.BytesIO(data), MOST_PIXELS)
        except BadImageError as error:
            raise FieldError("photos", f"{shown}: {error}") from None
        if min(picture.size) < LEAST_SIDE:
            raise FieldError("photos", f"{shown} has {picture.width}x{picture.height} pixels; allowed: {LEAST_SIDE} or "
                             "more on each side")
        digest = hashlib.sha256(data).hexdigest()
        with self._lock:
            photos = self._get(key)
            if digest in photos.names:
                raise FieldError("photos", f"{shown} is there already")
            if len(photos.names) >= MOST_PHOTOS:
                raise FieldError("photos", f"{shown} is one too many; allowed: {MOST_PHOTOS} at most")
            photos.count += 1
            own = f"photo_{photos.count:03d}{_suffix(data)}"
            (photos.folder / own).write_bytes(data)
            photos.names[digest] = own
        return {"name": own, "width": picture.width, "height": picture.height}

    def remove(self, key: str, name: str) -> None:
        """Removes one photograph; one that is not there is no fault."""
        with self._lock:
            photos = self._get(key)
            for digest, own in list(photos.names.items()):
                if own == name:
                    del photos.names[digest]
                    (photos.folder / own).unlink(missing_ok=True)

    def copy(self, key: str, folder: Path) -> int:
        """Copies a set into a new folder, for a training; returns how many there are.

        Raises:
            FieldError: the set is empty.
        """
        with self._lock:
            photos = self._get(key) if key else PhotoSet(folder)
            if not photos.names:
                raise FieldError("photos", "there is none; drop one or more")
            folder.mkdir(parents=True)
            for name in photos.names.values():
                shutil.copyfile(photos.folder / name, folder / name)
            return len(photos.names)

    def _get(self, key: str) -> PhotoSet:
        if key not in self._sets:
            raise FieldError("photo set", "the photographs are no longer here (was the app started anew?); "
                             "drop them again")
        return self._sets[key]


def _suffix(data: bytes) -> str:
    """The suffix of the format that a picture has, whatever its file was called."""
    from PIL import Image

    Image.init()  # registers what this build of Pillow can read
    with Image.open(io.BytesIO(data), formats=[name for name in _SUFFIXES if name in Image.OPEN]) as image:
        return _SUFFIXES[image.format or "PNG"]
