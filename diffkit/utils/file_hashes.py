"""SHA-256 of files, remembered between calls: the weights of a model are gigabytes, and seldom change.

One JSON file lies in the user's cache folder. A file counts as the same where path, size, number of its node, and the
times of its last change of content and of state are: the last of these cannot be set back by a program that copies.
"""

import json
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from diffkit.utils.hashes import file_sha256
from diffkit.utils.user_cache import cache_folder

_NAME = "hashes.json"
_SMALL = 1_000_000  # bytes; smaller files are read in no time
_FRESH = 2.0  # seconds after a change in which another one may have the same time
_MOST = 1000  # files that are remembered

Known = dict[str, list[int | str]]


def files_sha256(paths: Sequence[Path]) -> list[str]:
    """The hash of each file's content, hexadecimal. What is not known from an earlier call is read.

    A cache that cannot be read or written is no fault.
    """
    known = _read(cache_folder() / _NAME)
    new: Known = {}
    found = []
    for path in paths:
        name, state = str(path.resolve()), _state(path)
        entry = known.get(name, [])
        if entry[:-1] == state:
            found.append(str(entry[-1]))
            continue
        found.append(file_sha256(path))
        settled = time.time() - max(state[-2:]) / 1e9 > _FRESH
        if settled and state[0] >= _SMALL and _state(path) == state:
            new[name] = [*state, found[-1]]
    if new:
        kept = {name: entry for name, entry in known.items() if name not in new} | new
        _write(cache_folder() / _NAME, dict(list(kept.items())[-_MOST:]))
    return found


def _state(path: Path) -> list[int]:
    about = path.stat()
    return [about.st_size, about.st_ino, about.st_mtime_ns, about.st_ctime_ns]


def _read(file: Path) -> Known:
    try:
        files = json.loads(file.read_text(encoding="utf-8"))["files"]
        return {name: entry for name, entry in files.items() if isinstance(entry, list) and len(entry) == 5}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return {}


def _write(file: Path, files: Known) -> None:
    aside = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        aside.write_text(json.dumps({"files": files}), encoding="utf-8")
        aside.replace(file)
    except OSError:
        with suppress(OSError):
            aside.unlink()
