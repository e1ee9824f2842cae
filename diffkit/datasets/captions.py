"""Captions that lie beside images: a .txt for each, or one metadata file."""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from diffkit.datasets.image_file import leaves, printable

SOURCES = ("auto", "txt", "metadata", "none")
#: A caption file larger than this is no caption, in bytes.
MAX_CAPTION_BYTES = 1_000_000


def read_captions(
    root: Path, names: Sequence[str], source: str = "auto", column: str = "text"
) -> tuple[dict[str, list[str]], list[str]]:
    """Reads the captions of images in a folder.

    Args:
        root: the folder.
        names: the images, relative to it.
        source: ``"txt"`` (a file of the image's name that ends in .txt), ``"metadata"`` (metadata.jsonl or
            metadata.csv with ``file_name`` and ``column``), ``"auto"`` (either; a .txt wins over the
            metadata), or ``"none"``.
        column: the metadata's column that holds the caption. In jsonl it may be a list of captions.

    Returns:
        By image, the captions to choose from (an image without one, or with a blank one, is left out); notes
        on what a user should know.

    Raises:
        ValueError: if a file cannot be understood (named, with the line), or if ``source`` names one kind and
            an image lacks it.
    """
    check_source(source)
    captions: dict[str, list[str]] = {}
    notes = []
    if source in ("auto", "metadata"):
        rows = read_metadata(root, column)
        if unused := sorted(rows.keys() - set(names)):
            shown = ", ".join(map(printable, unused[:3])) + (", …" if len(unused) > 3 else "")
            notes.append(f"{len(unused)} rows of the metadata name no image of the folder: {shown}")
        captions.update({name: rows[name] for name in names if name in rows})
        if source == "metadata":
            _require(names, captions, f"a caption in metadata.jsonl or metadata.csv of {printable(root)}")
    if source in ("auto", "txt"):
        beside = {name: [text] for name in names if (text := text_beside(root / name, root))}
        captions.update(beside)
        if source == "txt":
            _require(names, beside, "a caption in a .txt file beside it")
    return captions, notes


def check_source(source: str) -> str:
    """Returns the source of captions, or says which there are."""
    if source not in SOURCES:
        raise ValueError(f"captions must be one of {', '.join(SOURCES)}, got {source!r}")
    return source


def read_metadata(root: Path, column: str = "text") -> dict[str, list[str]]:
    """Returns the captions of metadata.jsonl and metadata.csv by file name; blank ones are left out."""
    captions: dict[str, list[str]] = {}
    for path in (root / "metadata.jsonl", root / "metadata.csv"):
        if path.is_file():
            _check_link(path, root)
            _add_rows(path, column, captions)
    return {name: texts for name, texts in captions.items() if texts}


def read_rows(path: Path, column: str = "text") -> dict[str, list[str]]:
    """Returns the captions of a ``.jsonl`` or ``.csv`` file of any name, by file name.

    Raises:
        ValueError: it is of another kind, or cannot be understood (named, with the line).
    """
    if path.suffix.lower() not in (".jsonl", ".csv"):
        raise ValueError(f"{printable(path)}: captions are read from .jsonl and .csv files")
    captions: dict[str, list[str]] = {}
    _add_rows(path, column, captions)
    return captions


def _add_rows(path: Path, column: str, captions: dict[str, list[str]]) -> None:
    reader = _csv_rows if path.suffix.lower() == ".csv" else _jsonl_rows
    for line, row in reader(path):
        name, texts = _row(path, line, row, column)
        if captions.setdefault(name, texts) != texts:
            raise ValueError(f"{printable(path)}, line {line}: a second, other caption for {name!r}")


def _row(path: Path, line: int, row: Any, column: str) -> tuple[str, list[str]]:
    where = f"{printable(path)}, line {line}"
    if not isinstance(row, dict) or not isinstance(row.get("file_name"), str):
        raise ValueError(f"{where}: expected an object with a file_name, got {str(row)[:80]}")
    if column not in row:
        others = ", ".join(sorted(str(key) for key in row if key != "file_name"))
        raise ValueError(f"{where}: there is no column {column!r}; the others are: {others or 'none'}")
    value = row[column]
    texts = value if isinstance(value, list) else [] if value is None else [value]
    if not all(isinstance(text, str) for text in texts):
        raise ValueError(f"{where}: {column} must be text or a list of texts, got {str(value)[:80]}")
    return Path(row["file_name"]).as_posix(), [text.strip() for text in texts if text.strip()]


def _jsonl_rows(path: Path) -> list[tuple[int, Any]]:
    rows = []
    for line, text in enumerate(_read_text(path).split("\n"), start=1):
        if not text.strip():
            continue
        try:
            rows.append((line, json.loads(text)))
        except json.JSONDecodeError as error:
            raise ValueError(f"{printable(path)}, line {line}: not JSON ({error.msg})") from error
        except (ValueError, RecursionError) as error:  # a number of thousands of digits, thousands of brackets
            raise ValueError(f"{printable(path)}, line {line}: not sensible JSON ({error})") from error
    return rows


def _csv_rows(path: Path) -> list[tuple[int, Any]]:
    reader = csv.DictReader(io.StringIO(_read_text(path), newline=""))
    try:
        return [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise ValueError(f"{printable(path)}, line {reader.line_num}: not CSV ({error})") from error


def text_beside(image: Path, root: Path, path: Path | None = None) -> str:
    """The caption in the .txt file of an image's name, on one line; empty where there is no such file.

    Args:
        image: the image's path.
        root: the folder, which a link may not leave.
        path: another text file.

    Raises:
        ValueError: the file is a link out of the folder, too large, or not UTF-8.
    """
    path = path or image.with_suffix(".txt")
    if not path.is_file():
        return ""
    _check_link(path, root)
    if path.stat().st_size > MAX_CAPTION_BYTES:
        raise ValueError(f"{printable(path)} has {path.stat().st_size} bytes: that is no caption")
    return " ".join(_read_text(path).split())


def _check_link(path: Path, root: Path) -> None:
    if path.is_symlink() and leaves(path, root):
        raise ValueError(f"{printable(path)} is a link that leaves the folder: copy the file instead")


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{printable(path)} is not UTF-8 text ({error.reason} at byte {error.start})"
        ) from error


def _require(names: Sequence[str], found: dict[str, list[str]], what: str) -> None:
    missing = [name for name in names if name not in found]
    if missing:
        shown = ", ".join(printable(name) for name in missing[:5])
        raise ValueError(
            f"{len(missing)} of {len(names)} images lack {what}: {shown}{', …' if len(missing) > 5 else ''}"
        )
