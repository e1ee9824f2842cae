"""Which images an earlier start has decoded without a fault, so that they are not decoded again to verify them.

One JSON file for each data folder lies in ``images`` of the user's cache folder. It holds the SHA-256 of each
sound file and the size of its picture, so a file that was replaced is decoded whatever its name, size and time say.
Only sound files are remembered. A file of the cache that cannot be read or is not what was written counts as absent.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import PIL
from mmengine.logging import print_log

from diffkit.datasets.image_file import FORMATS, MAX_BYTES, MAX_PIXELS, MAX_SCANS, printable
from diffkit.datasets.transforms import AspectBuckets, Compose, Size, SizedTransforms, Transform
from diffkit.utils.user_cache import cache_folder
from diffkit.utils.write_aside import write_aside
from diffkit.version import __version__

_FORMAT = 2
_PLAIN = (str, int, float, bool, type(None))


class VerifiedFiles:
    """The sound files of one folder, by SHA-256.

    Args:
        path: the cache file; None remembers nothing.
        rules: what the verdict depends on besides the file's bytes; a cache of other rules counts as absent.
    """

    def __init__(self, path: Path | None, rules: dict[str, Any]) -> None:
        self.path = path
        self.rules = rules
        self._known = {} if path is None else _read(path, rules)
        self._sound: dict[str, Size] = {}

    def knows(self, digest: str) -> bool:
        """Whether a file of that content was sound at an earlier start."""
        return digest in self._known

    def size(self, digest: str) -> Size:
        """Height and width of a sound file's picture, upright and before any transform.

        Raises:
            KeyError: it is not known.
        """
        return self._sound[digest] if digest in self._sound else self._known[digest]

    def add(self, digest: str, size: Size) -> None:
        """Says that a file is sound, and height and width of its upright picture; any thread may."""
        self._sound[digest] = size

    def save(self) -> None:
        """Writes the files that are sound now, and only those; a cache that cannot be written is no fault."""
        if self.path is None or self._sound == self._known:
            return
        content = {"format": _FORMAT, "rules": self.rules, "sound": dict(sorted(self._sound.items()))}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_aside(self.path, (json.dumps(content, indent=0) + "\n").encode())
        except OSError as error:
            print_log(
                f"the images will be verified again at the next start: {printable(self.path)} cannot be written "
                f"({error.strerror or error})", logger="current")


def verified_files(place: str, transforms: Compose | SizedTransforms) -> VerifiedFiles:
    """What is known about the images of a folder.

    Args:
        place: the folder with links followed, or another name of the source of images.
        transforms: what a picture has to stand. Where one is not of this package nothing is remembered, for its
            code may change.
    """
    steps = _description(transforms)
    rules = {
        "diffkit": __version__, "pillow": PIL.__version__, "formats": list(FORMATS), "max_pixels": MAX_PIXELS,
        "max_bytes": MAX_BYTES, "max_scans": MAX_SCANS, "transforms": steps}
    if steps is None:
        return VerifiedFiles(None, rules)
    name = hashlib.sha256(json.dumps([printable(place), steps]).encode()).hexdigest()[:32]
    return VerifiedFiles(cache_folder() / "images" / f"{name}.json", rules)


def _read(path: Path, rules: dict[str, Any]) -> dict[str, Size]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != _FORMAT or content["rules"] != rules:
            return {}
        return {digest: (height, width) for digest, (height, width) in content["sound"].items()
                if isinstance(height, int) and isinstance(width, int) and min(height, width) > 0}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return {}


def _description(transform: Transform | SizedTransforms | AspectBuckets) -> list[Any] | None:
    """A transform as plain values; None for one of another package, or with settings that are not plain."""
    if isinstance(transform, SizedTransforms):
        return [_description(transform.buckets), *map(_description, map(transform.of, transform.largest()))]
    if isinstance(transform, Compose):
        parts = [_description(item) for item in transform.transforms]
        return None if None in parts else parts
    kind = type(transform)
    settings = {name: list(v) if isinstance(v, tuple) else v for name, v in sorted(vars(transform).items())}
    values = [item for value in settings.values() for item in (value if isinstance(value, list) else [value])]
    if not all(isinstance(value, _PLAIN) for value in values) or kind.__module__.partition(".")[0] != "diffkit":
        return None
    return [f"{kind.__module__}.{kind.__qualname__}", settings]
