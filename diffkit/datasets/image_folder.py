"""A folder of images: what it holds, and which of it can be used."""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from diffkit.datasets.image_file import SUFFIXES, BadImageError, leaves, printable
from diffkit.utils.near import did_you_mean
from diffkit.utils.user_cache import cache_folder

#: Files that describe the images beside them.
METADATA_NAMES = ("metadata.jsonl", "metadata.csv", "prior.json")
POLICIES = ("stop", "skip")
T = TypeVar("T")


@dataclass
class FolderListing:
    """What a folder holds.

    Attributes:
        root: the folder.
        images: names of the image files, sorted; below sub-folders with ``/``.
        strays: names of other files; they are never opened.
        folders: names of the sub-folders that are not read, each with the number of images in it.
    """

    root: Path
    images: list[str] = field(default_factory=list)
    strays: list[str] = field(default_factory=list)
    folders: dict[str, int] = field(default_factory=dict)

    def describe(self) -> str:
        """One line: how many images, sub-folders and other files."""
        parts = [_count(len(self.images), "image"), _count(len(self.folders), "sub-folder")]
        parts.append(
            _count(len(self.strays), "other file") + (f" ({_some(self.strays)})" if self.strays else "")
        )
        return f"{printable(self.root)}: {parts[0]}, {parts[1]}, {parts[2]}"


def list_images(root: str | Path, argument: str = "data_root", recursive: bool = False) -> FolderListing:
    """Lists a folder without opening a file in it.

    Args:
        root: the folder; ``~`` is the home folder.
        argument: what the caller's user knows the folder by; used in messages.
        recursive: read sub-folders too (links to folders are not followed).

    Raises:
        ValueError: if it is no folder, or holds no image; the message says what was found and what to write.
    """
    folder = Path(root).expanduser()
    if not folder.is_dir():
        raise ValueError(_no_folder(folder, argument))
    listing = scan_folder(folder, recursive)
    if not listing.images:
        raise ValueError(_no_images(listing, argument))
    return listing


def scan_folder(folder: Path, recursive: bool = False) -> FolderListing:
    """Lists a folder that may hold no image, or not exist: then the listing is empty."""
    listing = FolderListing(folder)
    if folder.is_dir():
        _scan(folder, "", listing, recursive)
    listing.images.sort()
    stems = {Path(name).with_suffix("").as_posix() for name in listing.images}
    listing.strays = sorted(name for name in listing.strays if not _describes(name, stems))
    return listing


def folder_hint(listing: FolderListing, argument: str) -> str | None:
    """A line on sub-folders with images that are not read, and what to write instead; None without such."""
    holding = [name for name, count in listing.folders.items() if count]
    if not holding:
        return None
    shown = ", ".join(f"{printable(name)} ({_count(listing.folders[name], 'image')})" for name in holding[:5])
    return (
        f"sub-folders are not read: {shown}{', …' if len(holding) > 5 else ''}. "
        f"To train on one of them write {argument}={printable(listing.root / holding[0])!r}"
    )


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
    check_policy(bad_images)
    count = threads or min(16, os.cpu_count() or 1)
    with ThreadPoolExecutor(count) as pool:
        results = dict(zip(names, pool.map(lambda name: _try(root, name, read), names), strict=True))
    good = {name: result for name, result in results.items() if not isinstance(result, BadImageError)}
    bad = {name: str(result) for name, result in results.items() if isinstance(result, BadImageError)}
    if bad and (bad_images == "stop" or not good):
        way_out = "mend or remove them" + (", or set bad_images='skip' to leave them out" if good else "")
        raise ValueError(f"{argument}={printable(root)!r}: {bad_report(bad, len(names))}\n{way_out}")
    return good, bad


def bad_report(bad: dict[str, str], total: int, limit: int = 50) -> str:
    """The list of bad files with their reasons, one a line.

    Of more than ``limit`` the rest stands in a file of the user's cache folder, which the last line names.
    """
    lines = [f"  {printable(name)}: {reason}" for name, reason in list(bad.items())[:limit]]
    if len(bad) > limit:
        lines.append(f"  … and {len(bad) - limit} more{_whole_list(bad)}")
    return "\n".join([f"{len(bad)} of {total} images cannot be used:", *lines])


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


def _try(root: Path, name: str, read: Callable[[Path], T]) -> "T | BadImageError":
    path = root / name
    try:
        if leaves(path, root):
            return BadImageError("a link that leaves the folder: copy the file instead")
        return read(path)
    except BadImageError as error:
        return error
    except OSError as error:
        return BadImageError(f"cannot be read ({error.strerror or error})")


def _scan(folder: Path, prefix: str, listing: FolderListing, recursive: bool) -> None:
    try:
        with os.scandir(folder) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise ValueError(f"the folder {printable(folder)!r} cannot be read ({error.strerror or error})") from error
    for entry in found:
        name = prefix + entry.name
        if entry.name.startswith("."):
            listing.strays.append(name)
        elif _is_folder(entry):
            if recursive and not entry.is_symlink():
                _scan(folder / entry.name, name + "/", listing, recursive)
            else:
                listing.folders[name] = _images_in(Path(entry.path))
        elif is_image_name(entry.name):
            listing.images.append(name)
        else:
            listing.strays.append(name)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def is_image_name(name: str) -> bool:
    """Whether a file of that name is taken for an image."""
    return Path(name).suffix.lower() in SUFFIXES and not name.startswith(".")


def _images_in(folder: Path) -> int:
    try:
        return sum(is_image_name(name) for name in os.listdir(folder))
    except OSError:
        return 0


def _describes(name: str, stems: set[str]) -> bool:
    path = Path(name)
    return path.name in METADATA_NAMES or (path.suffix == ".txt" and path.with_suffix("").as_posix() in stems)


def _no_folder(folder: Path, argument: str) -> str:
    if folder.is_file():
        return (
            f"{argument} must be a folder, got the file {printable(folder)!r}: did you mean {argument}="
            f"{printable(folder.parent)!r}?"
        )
    parent = folder.parent
    near = (
        did_you_mean(folder.name, [e.name for e in parent.iterdir() if e.is_dir()]) if parent.is_dir() else ""
    )
    return f"{argument}={printable(folder)!r} does not exist (looked at {printable(folder.absolute())}){near}"


def _no_images(listing: FolderListing, argument: str) -> str:
    hint = folder_hint(listing, argument)
    more = f"\n{hint}" if hint else f"\nread are {', '.join(sorted(SUFFIXES))}"
    return f"{argument} holds no images; found in {listing.describe()}{more}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _some(names: Iterable[str], limit: int = 5) -> str:
    shown = [printable(name) for name in names]
    return ", ".join(shown[:limit]) + (", …" if len(shown) > limit else "")
