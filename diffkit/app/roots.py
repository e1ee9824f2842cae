"""The folders that the page may name: chosen roots, with links followed, and nothing outside of them."""

import os
from collections.abc import Sequence
from pathlib import Path

from diffkit.app.fields import FieldError


class Roots:
    """Folders that everything the page reads and writes lies in.

    Args:
        folders: at least one, each there already; the first is written to.

    Raises:
        ValueError: a folder is missing, is not one, or holds the home folder.
    """

    def __init__(self, folders: Sequence[str | Path]) -> None:
        if not folders:
            raise ValueError("--root: give at least one folder")
        self.folders = [_root(folder) for folder in folders]

    @property
    def work(self) -> Path:
        """The folder that trainings and saved pictures are written to."""
        return self.folders[0]

    def folder(self, field: str, text: str) -> Path:
        """The folder that a text names, with its links followed.

        Args:
            field: the name of the field, for messages.
            text: an absolute path, or one relative to the current folder or to a root.

        Raises:
            FieldError: it leaves the roots, or is no folder. Of what lies outside nothing is said, not even whether
                it is there.
        """
        if "\0" in text:
            raise FieldError(field, "holds a zero byte; allowed: the path of a folder")
        given = Path(text)
        places = [given] if given.is_absolute() else [Path.cwd() / given, *(root / given for root in self.folders)]
        inside = [place for place in (_real(place) for place in places) if self.holds(place)]
        if not inside:
            raise FieldError(field, f"{text!r} lies outside of the folders that this app may read: "
                             f"{', '.join(map(str, self.folders))}. Start it with --root FOLDER to allow another one")
        for place in inside:
            if place.is_dir():
                return place
        raise FieldError(field, f"there is no folder {text!r} in {', '.join(map(str, self.folders))}")

    def holds(self, path: Path) -> bool:
        """Whether a path, with its links followed, lies in one of the roots."""
        real = _real(path)
        return any(real == root or real.is_relative_to(root) for root in self.folders)

    def short(self, path: Path) -> str:
        """A path as the page shows it: relative to its root, with the root's name before it."""
        for root in self.folders:
            if path.is_relative_to(root):
                return (Path(root.name) / path.relative_to(root)).as_posix()
        return str(path)


def _root(folder: str | Path) -> Path:
    given = Path(folder).expanduser()
    if not given.is_dir():
        raise ValueError(f"--root: no folder {str(folder)!r}")
    real = _real(given)
    if _real(Path.home()).is_relative_to(real):
        raise ValueError(f"--root: {str(folder)!r} holds your whole home folder; choose a folder below that")
    return real


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))
