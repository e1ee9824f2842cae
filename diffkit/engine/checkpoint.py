"""Checkpoint folders that are either whole or absent: written aside, synced, described by a manifest,
renamed.

A checkpoint is a folder ``step<N>`` (N: the last finished iteration, counted from 0). Its ``manifest.json``
is written last and lists every other file with size and SHA-256, so that any later damage shows.
"""

import errno
import hashlib
import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from diffkit.engine.errors import DiskFullError
from diffkit.engine.files import (
    files_below,
    folder_size,
    format_bytes,
    free_bytes,
    is_disk_full,
    remove,
    sha256,
    sync,
)
from diffkit.utils.weight_files import pickled_files, safetensors_fault

MANIFEST = "manifest.json"
_FORMAT = 1
_STEP = re.compile(r"step(\d+)")
_WRITING, _REPLACED = ".writing-", ".replaced-"


class Found(NamedTuple):
    """Result of ``find_latest``: the newest valid folder (or None), and why newer ones were passed over."""

    folder: Path | None
    skipped: list[tuple[Path, list[str]]]


def step_folder(work_dir: str | Path, step: int) -> Path:
    """Returns the folder of the checkpoint after iteration ``step`` (counted from 0)."""
    return Path(work_dir) / f"step{step}"


def list_steps(work_dir: str | Path) -> list[tuple[int, Path]]:
    """Returns (step, folder) of everything in ``work_dir`` that is named like a checkpoint, oldest first."""
    root = Path(work_dir)
    if not root.is_dir():
        return []
    matches = [(_STEP.fullmatch(path.name), path) for path in root.iterdir() if path.is_dir()]
    return sorted((int(match.group(1)), path) for match, path in matches if match)


def write_checkpoint(
    folder: str | Path,
    writers: Iterable[Callable[[Path], Any]],
    meta: dict[str, Any] | None = None,
    expected: Callable[[], int] = int,
) -> Path:
    """Writes a checkpoint so that no crash, kill or full disk leaves a half one under its name.

    Args:
        folder: where it will stand; an existing folder of that name is replaced when the new one is complete.
        writers: each is called with the folder to write into, which is not yet the final one.
        meta: JSON values to keep in the manifest; ``step`` has to be that of the folder's name.
        expected: says about how many bytes it will have; asked where the disk is full.

    Returns:
        The folder.

    Raises:
        DiskFullError: no room; the message says how many bytes are needed and how many are free.
    """
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = folder.with_name(f"{_WRITING}{folder.name}")
    remove(aside)
    try:
        aside.mkdir()
        for write in writers:
            write(aside)
        _write_manifest(aside, meta or {})
    except Exception as error:
        written = folder_size(aside)
        remove(aside)
        if is_disk_full(error):
            raise _disk_full(folder, written, expected()) from error
        raise
    except BaseException:
        remove(aside)
        raise
    _put_in_place(aside, folder)
    return folder


def verify_checkpoint(folder: str | Path) -> list[str]:
    """Compares a checkpoint with its manifest.

    Returns:
        The faults in plain words; an empty list says that every byte is as it was written.
    """
    folder = Path(folder)
    try:
        manifest = read_manifest(folder)
    except (OSError, ValueError) as error:
        return [str(error)]
    files = manifest["files"]
    faults = _misnamed(folder, manifest)
    present = {path.relative_to(folder).as_posix() for path in files_below(folder)} - {MANIFEST}
    faults += [f"{name} is missing" for name in sorted(files.keys() - present)]
    faults += [f"{name} is not in the manifest" for name in sorted(present - files.keys())]
    found = {name: _file_fault(folder / name, files[name]) for name in sorted(files.keys() & present)}
    return faults + [f"{name} {fault}" for name, fault in found.items() if fault]


def _file_fault(path: Path, entry: dict[str, Any]) -> str:
    """What is wrong with a file of a checkpoint, in words that follow its name; an empty text where it is sound."""
    if path.is_symlink():
        return "is a link"
    if pickled_files([path.name]):
        return "is a pickle or an archive by its name; a checkpoint holds neither, and none is read"
    size = path.stat().st_size
    if size != entry["size"]:
        return f"has {size} bytes instead of {entry['size']}"
    if sha256(path) != entry["sha256"]:
        return "has changed (SHA-256 differs)"
    fault = safetensors_fault(path) if path.suffix == ".safetensors" else ""
    return f"is no sound safetensors file: {fault}" if fault else ""


def _misnamed(folder: Path, manifest: dict[str, Any]) -> list[str]:
    """A checkpoint under the name of another step is not the one that is looked for."""
    match, step = _STEP.fullmatch(folder.name), manifest["meta"].get("step")
    if match is None or step is None or int(match[1]) == step:
        return []
    return [f"{MANIFEST} is that of the checkpoint of step {step}"]


def read_manifest(folder: str | Path) -> dict[str, Any]:
    """Reads and checks the shape of a manifest.

    Raises:
        OSError: there is none.
        ValueError: it is damaged or of an unknown format.
    """
    path = Path(folder) / MANIFEST
    if not path.is_file():
        raise FileNotFoundError(f"{MANIFEST} is missing: the checkpoint was not finished, or is none")
    try:
        text = path.read_text(encoding="utf-8")
        manifest = json.loads(text)
        intact = text == _manifest_text({key: value for key, value in manifest.items() if key != "sha256"})
    except (ValueError, AttributeError, RecursionError) as error:
        raise ValueError(f"{MANIFEST} is damaged: {error}") from None
    if not intact:
        raise ValueError(f"{MANIFEST} is damaged: its own SHA-256 differs")
    if manifest.get("format") != _FORMAT:
        raise ValueError(f"{MANIFEST} has format {manifest.get('format')}, this version reads {_FORMAT}")
    if not _has_shape(manifest):
        raise ValueError(f"{MANIFEST} is damaged: it is not what this program writes")
    return manifest


def _has_shape(manifest: dict[str, Any]) -> bool:
    files = manifest.get("files")
    return isinstance(manifest.get("meta"), dict) and isinstance(files, dict) and all(
        isinstance(entry, dict) and entry.keys() >= {"size", "sha256"} for entry in files.values())


def find_latest(work_dir: str | Path) -> Found:
    """Returns the newest valid checkpoint, and the newer ones that are not valid, with the reasons."""
    skipped: list[tuple[Path, list[str]]] = []
    for _, folder in reversed(list_steps(work_dir)):
        faults = verify_checkpoint(folder)
        if not faults:
            return Found(folder, skipped)
        skipped.append((folder, faults))
    return Found(None, skipped)


def rotate(work_dir: str | Path, max_keep: int, newest: str | Path) -> list[Path]:
    """Removes the oldest checkpoints, up to and without ``newest``, until ``max_keep`` whole ones are left.

    Checkpoints of later steps (of a run that was since resumed from an earlier one) are not touched. Nothing
    is removed unless ``newest`` is valid by its manifest. One that is not whole (by its manifest and the sizes of its
    files) does not count, and goes with those that are older than what is kept.

    Args:
        work_dir: holds the checkpoints.
        max_keep: how many to keep, ``newest`` included; -1 keeps all.
        newest: the checkpoint just written.

    Returns:
        The folders removed.
    """
    if max_keep < 1:
        return []
    newest = Path(newest)
    earlier = [path for _, path in list_steps(work_dir)]
    earlier = earlier[: earlier.index(newest) + 1] if newest in earlier else []
    if len(earlier) <= max_keep or verify_sizes(newest):
        return []
    whole = [path for path in earlier if not verify_sizes(path)]
    old = earlier[: earlier.index(whole[-max_keep])] if len(whole) >= max_keep else []
    for folder in old:
        remove_checkpoint(folder)
    return old


def verify_sizes(folder: str | Path) -> list[str]:
    """Like ``verify_checkpoint`` but compares sizes only, which costs nothing."""
    folder = Path(folder)
    try:
        files = read_manifest(folder)["files"]
    except (OSError, ValueError) as error:
        return [str(error)]
    return [
        f"{name} is missing or has another size"
        for name, entry in files.items()
        if not (folder / name).is_file() or (folder / name).stat().st_size != entry["size"]
    ]


def remove_checkpoint(folder: str | Path) -> None:
    """Removes a checkpoint; it is renamed first, so that a half removed one never stands under its name."""
    folder = Path(folder)
    aside = folder.with_name(f"{_WRITING}{folder.name}")
    remove(aside)
    folder.rename(aside)
    sync(folder.parent)
    remove(aside)


def clean_leftovers(work_dir: str | Path) -> list[Path]:
    """Removes what a killed run left half written, and puts back a checkpoint that was being replaced."""
    root = Path(work_dir)
    if not root.is_dir():
        return []
    for path in root.glob(f"{_REPLACED}*"):
        original = path.with_name(path.name.removeprefix(_REPLACED))
        if not original.exists():
            path.rename(original)
    left = [*root.glob(f"{_WRITING}*"), *root.glob(f"{_REPLACED}*")]
    for path in left:
        remove(path)
    return left


def _disk_full(folder: Path, written: int, expected: int) -> DiskFullError:
    free = free_bytes(folder.parent)
    needed = max(expected, written)
    return DiskFullError(
        errno.ENOSPC,
        f"no room for the checkpoint {folder.name}: it needs {'about' if expected > written else 'more than'} "
        f"{format_bytes(needed)} ({needed} bytes), {format_bytes(free)} ({free} bytes) are free; earlier checkpoints "
        "are untouched, make room and resume",
        str(folder),
    )


def _write_manifest(folder: Path, meta: dict[str, Any]) -> None:
    files = {}
    for path in files_below(folder):
        sync(path)
        files[path.relative_to(folder).as_posix()] = {"size": path.stat().st_size, "sha256": sha256(path)}
    body = {"format": _FORMAT, "meta": meta, "files": dict(sorted(files.items()))}
    path = folder / MANIFEST
    path.write_text(_manifest_text(body), encoding="utf-8")
    sync(path)
    for below in sorted(item for item in folder.rglob("*") if item.is_dir()):
        sync(below)
    sync(folder)


def _put_in_place(aside: Path, folder: Path) -> None:
    replaced = folder.with_name(f"{_REPLACED}{folder.name}")
    if folder.exists():
        remove(replaced)
        folder.rename(replaced)
    aside.rename(folder)
    sync(folder.parent)
    sync(folder.parent.resolve().parent)  # the work folder itself may be new
    remove(replaced)


def _manifest_text(body: dict[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(body).encode()).hexdigest()
    return json.dumps(body | {"sha256": digest}, indent=1) + "\n"
