"""A save that dies at each of its operations on files, one after the other."""

import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

from diffkit.engine import checkpoint
from tests.engine.processes import context

_EVENTS = ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil.rmtree")


def write(work_dir: Path, step: int, content: str) -> Path:
    """A small checkpoint with a folder in it."""

    def writer(folder: Path) -> None:
        (folder / "state").mkdir()
        (folder / "state" / "model.txt").write_text(content)
        (folder / "export.txt").write_text(content)

    return checkpoint.write_checkpoint(work_dir / f"step{step}", [writer], {"step": step})


def prepare(work_dir: Path) -> None:
    """Two checkpoints; the newer one is to be written once more."""
    work_dir.mkdir(parents=True)
    write(work_dir, 2, "older")
    write(work_dir, 5, "old")


def save_and_die(work_dir: Path, at: int) -> None:
    """Replaces step5 and removes step2, killed by itself at operation ``at``, counted from 1."""
    count = 0

    def operation(*_: Any) -> None:
        nonlocal count
        count += 1
        if count == at:
            os.kill(os.getpid(), signal.SIGKILL)

    def audit(event: str, arguments: tuple[Any, ...]) -> None:
        if event in _EVENTS and str(work_dir) in str(arguments[0]):
            operation()

    fsync = os.fsync
    setattr(os, "fsync", lambda handle: (operation(), fsync(handle)))  # noqa: B010
    sys.addaudithook(audit)
    newest = write(work_dir, 5, "new")
    checkpoint.rotate(work_dir, 1, newest)


def die_at(work_dir: Path, at: int) -> bool:
    """Lets a process do it; False if the save had fewer operations."""
    process = context().Process(target=save_and_die, args=(work_dir, at))
    process.start()
    process.join()
    if process.exitcode not in (0, -signal.SIGKILL):
        raise AssertionError(f"exit status {process.exitcode}")
    return process.exitcode != 0


def what_is_left(work_dir: Path) -> str | None:
    """The content of the newest valid checkpoint, as the next training would find it; None without one."""
    checkpoint.clean_leftovers(work_dir)
    found = checkpoint.find_latest(work_dir)
    return None if found.folder is None else (found.folder / "state/model.txt").read_text()


def each_operation_trial(work: Path) -> dict[str, Any]:
    """Lets a save die at every operation, one after the other.

    Returns:
        ``operations``: how many; ``old``: how many of them leave the old checkpoint; ``faults``: empty at best.
    """
    shutil.rmtree(work, ignore_errors=True)
    left: list[str | None] = []
    died, at = True, 0
    while died:
        at += 1
        place = work / str(at)
        prepare(place)
        died = die_at(place, at)
        left.append(what_is_left(place))
    old = left.index("new") if "new" in left else len(left)
    faults = [] if left[-1] == "new" else ["a save that nothing disturbs is not there"]
    faults += [f"operation {i + 1} left {content}" for i, content in enumerate(left)
               if content != ("old" if i < old else "new")]  # never none, never back
    return {"operations": len(left) - 1, "old": old, "faults": faults}
