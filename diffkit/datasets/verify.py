"""Reads all images before a training, in parallel, and tells those that can be used from the others."""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from diffkit.datasets.image_file import BadImageError, leaves, printable
from diffkit.utils.user_cache import cache_folder

POLICIES = ("stop", "skip")
T = TypeVar("T")


def check_policy(bad_images: str) -> str:
    """Returns the policy for bad images, or says which there are."""
    if bad_images not in POLICIES:
        raise ValueError(f"bad_images must be one of {', '.join(POLICIES)}, got {bad_images!r}")
    return bad_images


def read_all(
    root: Path,
    names: Sequence[str],
    read: Callable[[Path], T],
    *,
    bad_images: str = "stop",
    argument: str = "data_root",
    threads: int | None = None,
) -> tuple[dict[str, T], dict[str, str]]:
    """Reads every file of a folder in parallel, before anything is trained on.

    Args:
        root: the folder.
        names: files in it, as ``FolderListing.images``.
        read: called on each path; raises BadImageError for one that cannot be used.
        bad_images: ``"stop"`` raises when any file is bad, ``"skip"`` leaves the bad ones out.
        argument: what the user knows the folder by.
        threads: number of threads; None takes one for each CPU, at most 16.

    Returns:
        What ``read`` gave by name, in the order of ``names``, and the reasons of the bad files by name.

    Raises:
        ValueError: naming all bad files at once, under ``"stop"`` or when no file is left.
    """
    return verify_each(
        names, lambda name: _read_inside(root, name, read), bad_images=bad_images,
        what=f"{argument}={printable(root)!r}", threads=threads)


def verify_each(
    names: Sequence[str], read: Callable[[str], T], *, bad_images: str, what: str, noun: str = "images",
    threads: int | None = None,
) -> tuple[dict[str, T], dict[str, str]]:
    """Reads images in parallel, and tells those that can be used from the others; see :func:`read_all`.

    Args:
        names: the images.
        read: called on each name; raises BadImageError or OSError for one that cannot be used.
        bad_images: ``"stop"`` or ``"skip"``.
        what: begins the message.
        noun: what the names are of.
        threads: number of threads.
    """
    check_policy(bad_images)
    count = threads or min(16, os.cpu_count() or 1)
    with ThreadPoolExecutor(count) as pool:
        results = dict(zip(names, pool.map(lambda name: _try(read, name), names), strict=True))
    good = {name: result for name, result in results.items() if not isinstance(result, BadImageError)}
    bad = {name: str(result) for name, result in results.items() if isinstance(result, BadImageError)}
    if bad and (bad_images == "stop" or not good):
        way_out = "mend or remove them" + (", or set bad_images='skip' to leave them out" if good else "")
        raise ValueError(f"{what}: {bad_report(bad, len(names), noun)}\n{way_out}")
    return good, bad


def bad_report(bad: dict[str, str], total: int, noun: str = "images", limit: int = 50) -> str:
    """The list of bad files (or rows) with their reasons, one a line.

    Of more than ``limit`` the rest stands in a file of the user's cache folder, which the last line names.
    """
    lines = [f"  {printable(name)}: {reason}" for name, reason in list(bad.items())[:limit]]
    if len(bad) > limit:
        lines.append(f"  … and {len(bad) - limit} more{_whole_list(bad)}")
    return "\n".join([f"{len(bad)} of {total} {noun} cannot be used:", *lines])


def _whole_list(bad: dict[str, str]) -> str:
    shown = {printable(name): reason for name, reason in bad.items()}
    text = json.dumps(shown, indent=1, ensure_ascii=False) + "\n"
    name = hashlib.sha256(text.encode()).hexdigest()[:16]
    path = cache_folder() / "images" / f"bad-{name}.json"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError:
        return ""
    return f"; all of them: {printable(path)}"


def _read_inside(root: Path, name: str, read: Callable[[Path], T]) -> T:
    path = root / name
    if leaves(path, root):
        raise BadImageError("a link that leaves the folder: copy the file instead")
    return read(path)


def _try(read: Callable[[str], T], name: str) -> "T | BadImageError":
    try:
        return read(name)
    except BadImageError as error:
        return error
    except OSError as error:
        return BadImageError(f"cannot be read ({error.strerror or error})")
