"""Writes the metadata file of a folder of captioned pictures, which image-folder datasets read."""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from diffkit.apis.caption_sources import CaptionSources
from diffkit.datasets.image_file import decode_image, open_file, printable, read_size
from diffkit.datasets.image_folder import FolderListing, list_images
from diffkit.datasets.picture_reader import Room
from diffkit.datasets.verify import read_all
from diffkit.engine.files import replace_text

Format = Literal["jsonl", "csv"]
FORMATS: tuple[str, ...] = get_args(Format)


@dataclass
class MetadataReport:
    """What :func:`create_metadata` did.

    Attributes:
        path: the metadata file.
        written: rows of it.
        change: ``"new"``, ``"unchanged"``, ``"extended"`` (its rows stay, others join them) or ``"replaced"``.
        left_out: reasons by picture, sorted by name.
        notes: what a user should know besides.
    """

    path: Path
    written: int
    change: str
    left_out: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def lines(self, limit: int = 50) -> list[str]:
        """The report in words; of more than ``limit`` pictures that were left out the rest is counted."""
        found = [f"{printable(self.path)}: {self.written} rows ({self.change})"]
        if self.left_out:
            found.append(f"{len(self.left_out)} pictures are left out:")
            found += [f"  {printable(name)}: {why}" for name, why in list(self.left_out.items())[:limit]]
            if len(self.left_out) > limit:
                found.append(f"  … and {len(self.left_out) - limit} more")
        return found + self.notes


def create_metadata(
    folder: str | Path,
    *,
    template: str | None = None,
    captions_file: str | Path | None = None,
    caption_column: str = "text",
    file_format: Format = "jsonl",
    recursive: bool = True,
    check_images: bool = True,
    overwrite: bool = False,
) -> MetadataReport:
    """Writes ``metadata.jsonl`` or ``metadata.csv`` with ``file_name`` and a caption for each picture of a folder.

    The caption of a picture is, from the strongest to the weakest: the text file beside it (``a.b.txt`` for
    ``a.b.png``, or else ``a.b.png.txt``), its rows in the captions file, the template. Pictures without any, and those
    that cannot be decoded, are left out and named. The same folder gives the same file, byte for byte.

    A metadata file that is there already is replaced only if that loses nothing: all of its rows stay as they are.

    Args:
        folder: the folder of pictures.
        template: caption of pictures without one of their own; ``{name}`` is the picture's name without suffix,
            ``{folder}`` that of its folder, both with blanks for ``_`` and ``-``.
        captions_file: a ``.jsonl`` or ``.csv`` file with ``file_name`` and the caption column.
        caption_column: of both files.
        file_format: ``"jsonl"`` or ``"csv"``; only jsonl holds several captions of one picture.
        recursive: read sub-folders too; the dataset then needs ``recursive=True``.
        check_images: decode every picture, and leave out those that a training would refuse.
        overwrite: replace a metadata file whatever it holds.

    Raises:
        ValueError: an argument is not valid, no picture is left, or the file that is there would lose rows.
    """
    if file_format not in FORMATS:
        raise ValueError(f"file_format must be one of {', '.join(FORMATS)}, got {file_format!r}")
    if caption_column == "file_name" or not caption_column:
        raise ValueError(f"caption_column must be a name other than file_name, got {caption_column!r}")
    sources = CaptionSources(template, captions_file, caption_column)
    listing = list_images(folder, "folder", recursive)
    left_out = sources.read(listing.root, listing.images)
    if check_images:
        left_out |= _cannot_be_used(listing, sources.captions)
    rows = {name: texts for name, texts in sources.captions.items() if name not in left_out}
    path = listing.root / f"metadata.{file_format}"
    if not rows:
        raise ValueError("\n".join(
            [f"folder={printable(folder)!r}: none of its {len(listing.images)} pictures can be written",
             *(f"  {printable(name)}: {why}" for name, why in sorted(left_out.items())[:10]),
             "write captions beside them, or give --template or --captions-file"]))
    change = _change(path, rows, caption_column, overwrite)
    if change != "unchanged":
        replace_text(path, _content(rows, caption_column, file_format))
    notes = [*sources.notes, *_notes(listing, rows, recursive)]
    return MetadataReport(path, len(rows), change, dict(sorted(left_out.items())), notes)


def _cannot_be_used(listing: FolderListing, names: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """The pictures that a training would refuse, with the reasons."""
    room = Room()

    def decode(path: Path) -> None:
        with open_file(path) as file:
            width, height = read_size(file)
            with room.taken(width * height):
                decode_image(file)

    return read_all(listing.root, list(names), decode, bad_images="skip", argument="folder")[1] if names else {}


def _change(path: Path, rows: Mapping[str, Sequence[str]], column: str, overwrite: bool) -> str:
    """What writing ``rows`` does to the file that is there.

    Raises:
        ValueError: it would lose something, and that was not asked for.
    """
    other = path.with_suffix(".csv" if path.suffix == ".jsonl" else ".jsonl")
    if other.is_file():
        raise ValueError(f"{printable(other)} is there already, and both files would be read: "
                         f"write it again with --format {other.suffix[1:]}, or move it away")
    if not path.exists() and not path.is_symlink():
        return "new"
    if not overwrite and path.is_symlink():
        raise ValueError(f"{printable(path)} is a link: --overwrite puts a file in its place")
    old = _old_rows(path)
    new = _as_read(rows, column, path.suffix)
    if old == new:
        return "unchanged"
    if overwrite:
        return "replaced"
    lost = "it cannot be read" if old is None else _lost(old, new)
    if lost:
        raise ValueError(f"{printable(path)} is there already, and {lost}: --overwrite replaces it all the same")
    return "extended"


def _lost(old: Sequence[Any], new: Sequence[Mapping[str, Any]]) -> str:
    """How many rows of a file would not be in the new one, in words; empty where all are."""
    by_name = {row["file_name"]: row for row in new}
    gone = 0
    for row in old:
        name = row.get("file_name") if isinstance(row, dict) else None
        gone += not isinstance(name, str) or by_name.get(name) != row
    return f"{gone} of its {len(old)} rows would change or go" if gone else ""


def _old_rows(path: Path) -> list[dict[str, Any]] | None:
    """All rows of a metadata file with all of their columns; None where they cannot be told."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix == ".csv":
            return list(csv.DictReader(io.StringIO(text, newline="")))
        return [json.loads(line) for line in text.split("\n") if line.strip()]
    except (OSError, ValueError, csv.Error, RecursionError):
        return None


def _as_read(rows: Mapping[str, Sequence[str]], column: str, suffix: str) -> list[dict[str, Any]]:
    if suffix == ".csv":
        several = [name for name, texts in rows.items() if len(texts) > 1]
        if several:
            raise ValueError(f"file_format='csv' holds one caption for each picture, and {len(several)} have more, "
                             f"such as {printable(several[0])}: take 'jsonl'")
    return [{"file_name": name, column: list(texts) if len(texts) > 1 else texts[0]} for name, texts in rows.items()]


def _content(rows: Mapping[str, Sequence[str]], column: str, file_format: str) -> str:
    listed = _as_read(rows, column, f".{file_format}")
    if file_format == "jsonl":
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in listed)
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, ["file_name", column], lineterminator="\n")
    writer.writeheader()
    writer.writerows(listed)
    return text.getvalue()


def _notes(listing: FolderListing, rows: Iterable[str], recursive: bool) -> list[str]:
    notes = []
    texts = [name for name in listing.strays if name.lower().endswith(".txt")
             and not (listing.root / name.removesuffix(".txt")).is_file()]
    if texts:
        shown = ", ".join(map(printable, texts[:3])) + (", …" if len(texts) > 3 else "")
        notes.append(f"{len(texts)} text files belong to no picture: {shown}")
    if any("/" in name for name in rows):
        notes.append("some pictures lie in sub-folders: the dataset reads them with recursive=True")
    passed = {name: count for name, count in listing.folders.items() if count}
    if passed:
        notes.append(f"{len(passed)} sub-folders with {sum(passed.values())} pictures are not read: "
                     + ", ".join(map(printable, list(passed)[:3])))
    return notes
