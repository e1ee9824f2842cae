"""Files and folders: sizes, syncing, and a disk that is full."""

import errno
import os
import re
import shutil
from pathlib import Path

from diffkit.utils.sizes import format_bytes as format_bytes
from diffkit.utils.write_aside import write_aside


def files_below(folder: Path) -> list[Path]:
    """Returns all files and links below ``folder``, sorted; none if there is no folder."""
    return sorted(path for path in folder.rglob("*") if path.is_file() or path.is_symlink())


def folder_size(folder: str | Path) -> int:
    """Returns the bytes of all files below ``folder``; 0 if there is none."""
    return sum(path.stat().st_size for path in files_below(Path(folder)))


def sync(path: Path) -> None:
    """Waits until a file's content, or a folder's list of names, is on the disk.

    Some network file systems cannot sync a folder; that is no error.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP) or not path.is_dir():
            raise
    finally:
        os.close(handle)


def replace_text(path: Path, text: str) -> None:
    """Writes a text file that is never half written: the old one stays until the new one is whole."""
    write_aside(path, text.encode())


def remove(path: Path) -> None:
    """Removes a file, a link, or a folder with all that is in it; does nothing without one."""
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)


def free_bytes(folder: str | Path) -> int:
    """Returns the bytes free where ``folder`` is or will be."""
    path = Path(folder).absolute()
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free


def is_disk_full(error: BaseException) -> bool:
    """Says whether an exception, or one that caused it, is the disk (or a quota) being full.

    safetensors and other writers in Rust report it in words only.
    """
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        if re.search(r"os error (28|122)\b|No space left on device", str(seen)):
            return True
        seen = seen.__cause__ or seen.__context__
    return False
