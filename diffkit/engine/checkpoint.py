"""Checkpoint folders that are either whole or absent: written aside, synced, described by a manifest, renamed.

A checkpoint is a folder ``step<N>`` (N: the last finished iteration, counted from 0).
"""

import errno
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from diffkit.engine.errors import DiskFullError
from diffkit.engine.files import folder_size, format_bytes, free_bytes, is_disk_full, remove, sync
from diffkit.engine.manifest import STEP, verify_checkpoint, verify_sizes, write_manifest

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
    matches = [(STEP.fullmatch(path.name), path) for path in root.iterdir() if path.is_dir()]
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
    draft = Draft(folder, expected)
    for write in writers:
        draft.add(write)
    return draft.finish(meta or {})


class Draft:
    """A checkpoint that is written aside, in one go or in parts; an error anywhere leaves nothing of it.

    Args:
        folder: where it will stand; an existing folder of that name is replaced when the new one is complete.
        expected: says about how many bytes it will have; asked where the disk is full.

    Raises:
        DiskFullError: no room, here and in the methods; the message says how many bytes are needed and are free.
    """

    def __init__(self, folder: str | Path, expected: Callable[[], int] = int) -> None:
        self.folder = Path(folder)
        self._expected = expected
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        self._aside = self.folder.with_name(f"{_WRITING}{self.folder.name}")
        remove(self._aside)
        with self._whole_or_nothing():
            self._aside.mkdir()

    def add(self, write: Callable[[Path], Any]) -> None:
        """Calls ``write`` with the folder to write into, which is not yet the final one."""
        with self._whole_or_nothing():
            write(self._aside)

    def finish(self, meta: dict[str, Any]) -> Path:
        """Waits until all is on the disk, describes it by a manifest with ``meta``, and gives it its name."""
        with self._whole_or_nothing():
            write_manifest(self._aside, meta)
        _put_in_place(self._aside, self.folder)
        return self.folder

    @contextmanager
    def _whole_or_nothing(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            written = folder_size(self._aside)
            remove(self._aside)
            if is_disk_full(error):
                raise _disk_full(self.folder, written, self._expected()) from error
            raise
        except BaseException:
            remove(self._aside)
            raise


def find_latest(work_dir: str | Path) -> Found:
    """Returns the newest valid checkpoint, and the newer ones that are not valid, with the reasons."""
    skipped: list[tuple[Path, list[str]]] = []
    for _, folder in reversed(list_steps(work_dir)):
        faults = verify_checkpoint(folder)
        if not faults:
            return Found(folder, skipped)
        skipped.append((folder, faults))
    return Found(None, skipped)


def rotate(work_dir: str | Path, max_keep: int, newest: str | Path, spared: Path | None = None) -> list[Path]:
    """Removes the oldest checkpoints, up to and without ``newest``, until ``max_keep`` whole ones are left.

    Checkpoints of later steps (of a run that was since resumed from an earlier one) are not touched. Nothing
    is removed unless ``newest`` is valid by its manifest. One that is not whole (by its manifest and the sizes of its
    files) does not count, and goes with those that are older than what is kept.

    Args:
        work_dir: holds the checkpoints.
        max_keep: how many to keep, ``newest`` included; -1 keeps all.
        newest: the checkpoint just written.
        spared: one that stays beside those, such as the best one.

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
    old = [folder for folder in old if folder != spared]
    for folder in old:
        remove_checkpoint(folder)
    return old


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


def _put_in_place(aside: Path, folder: Path) -> None:
    replaced = folder.with_name(f"{_REPLACED}{folder.name}")
    if folder.exists():
        remove(replaced)
        folder.rename(replaced)
    aside.rename(folder)
    sync(folder.parent)
    sync(folder.parent.resolve().parent)  # the work folder itself may be new
    remove(replaced)
