"""One training per work folder."""

import fcntl
import os
import weakref
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from diffkit.engine.errors import WorkDirBusyError

_NAME = ".lock"


class WorkDirLock:
    """A lock on a work folder that the system releases when its process ends, however it ends.

    Args:
        work_dir: the folder; the file ``.lock`` in it stays, only the lock on it counts.
    """

    def __init__(self, work_dir: str | Path) -> None:
        self.path = Path(work_dir) / _NAME
        self._handle: int | None = None
        os.register_at_fork(after_in_child=_releaser(weakref.ref(self)))

    def acquire(self) -> None:
        """Takes the lock.

        Raises:
            WorkDirBusyError: another process, or another runner of this one, has it.
        """
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(handle, 32).decode(errors="replace").strip()
            os.close(handle)
            raise WorkDirBusyError(
                f"work_dir {self.path.parent} is in use by another training"
                f"{f' (process {owner})' if owner else ''}; choose another work_dir"
            ) from None
        self._handle = handle
        os.ftruncate(handle, 0)
        with suppress(OSError):  # only a message names the owner; a full disk is told when something has to be written
            os.write(handle, f"{os.getpid()}\n".encode())

    def check(self) -> None:
        """Raises a WorkDirBusyError if the lock could not be taken now."""
        self.acquire()
        self.release()

    def release(self) -> None:
        """Gives the lock back; does nothing without one."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


def holder(work_dir: str | Path) -> int | None:
    """The process that trains in a work folder now; None where nobody does, or the system does not say.

    The lock is looked up in Linux's ``/proc/locks`` and not tried, since a training may want it at that moment.
    """
    file = Path(work_dir) / _NAME
    try:
        inode, owner = str(file.stat().st_ino), file.read_text(encoding="utf-8", errors="replace").strip()
        locks = Path("/proc/locks").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    for line in locks:  # number: FLOCK ADVISORY WRITE process device:inode from to
        words = line.split()
        if len(words) > 5 and words[1] == "FLOCK" and words[4] == owner and words[5].rsplit(":", 1)[-1] == inode:
            return int(owner)
    return None


def _releaser(reference: "weakref.ref[WorkDirLock]") -> Callable[[], None]:
    """A child (a worker of the data loader) must not keep the lock alive when its parent is killed."""

    def release() -> None:
        lock = reference()
        if lock is not None:
            lock.release()

    return release
