"""The caches on disk of what frozen encoders gave: where they lie, what is in them, and whether it is sound.

``<folder>/<kind>/<store>/<two digits>/<key>.safetensors``: a store is named by a hash of all that its entries depend on
besides what was encoded (``about.json`` says it), an entry by a hash of what was encoded. Nothing here needs torch.
"""

import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from diffkit.utils.sealed import fault
from diffkit.utils.user_cache import cache_folder

Kind = Literal["latents", "text"]
KINDS: tuple[Kind, ...] = get_args(Kind)
ABOUT = "about.json"
#: A file aside that is older than this, in seconds, was left by a process that was killed.
_LEFT = 3600


@dataclass(frozen=True)
class EncodedStore:
    """What one model's encoder gave, on disk.

    Attributes:
        folder: of this store.
        kind: ``latents`` or ``text``.
        about: what ``about.json`` says; empty where it cannot be read.
    """

    folder: Path
    kind: Kind
    about: dict[str, Any]

    def entries(self) -> list[Path]:
        """Its entries, sorted."""
        return sorted(path for path in self.folder.glob("*/*.safetensors") if not path.name.startswith("."))

    def bytes(self) -> int:
        """Bytes of its entries."""
        return sum(path.stat().st_size for path in self.entries())

    def last_use(self) -> float:
        """When a training opened it last, in seconds of the clock."""
        about = self.folder / ABOUT
        return (about if about.is_file() else self.folder).stat().st_mtime

    def describe(self) -> str:
        """The model that it is of, and how that computed."""
        if not self.about:
            return f"unknown ({ABOUT} is missing or damaged)"
        return f"{self.about.get('model')}, {self.about.get('compute')}"

    def damaged(self) -> Iterator[tuple[Path, str]]:
        """Reads every entry, and yields those that are not what was written, with the reason in words."""
        for path in self.entries():
            try:
                words = fault(path.read_bytes(), entry_name(self.folder, path.stem))
            except FileNotFoundError:  # removed by somebody else
                continue
            except OSError as error:
                words = f"it cannot be read ({error.strerror or error})"
            if words:
                yield path, words

    def leftovers(self) -> list[Path]:
        """What processes that were killed have left half written."""
        before = time.time() - _LEFT
        return [path for path in self.folder.rglob(".*") if path.is_file() and path.stat().st_mtime < before]

    def remove(self) -> None:
        """Removes the store with all that is in it."""
        shutil.rmtree(self.folder)


def entry_name(store: Path, key: str) -> str:
    """What an entry is sealed by: kind, store and key."""
    return f"{store.parent.name}/{store.name}/{key}"


def entry_path(store: Path, key: str) -> Path:
    """Where the entry of a key lies."""
    return store / key[:2] / f"{key}.safetensors"


def find_stores(folder: str | Path | None = None) -> list[EncodedStore]:
    """All stores below a folder.

    Args:
        folder: of ``model.cache_folder``; None is diffkit's own.
    """
    root = cache_folder() if folder is None else Path(folder).expanduser()
    return [EncodedStore(path, kind, _about(path / ABOUT)) for kind in KINDS
            for path in sorted((root / kind).glob("*")) if path.is_dir()]


def _about(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
