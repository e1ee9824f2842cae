"""A folder of images: what it holds."""

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from diffkit.datasets.image_file import SUFFIXES, printable
from diffkit.utils.near import did_you_mean
from diffkit.utils.weight_files import is_archive

#: Files that describe the images beside them.
METADATA_NAMES = ("metadata.jsonl", "metadata.csv", "prior.json")


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
    if folder.is_file() and is_archive(folder):
        return (
            f"{argument} must be a folder, got the archive {printable(folder)!r}, and archives are not unpacked: "
            "unpack it and give the folder"
        )
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
