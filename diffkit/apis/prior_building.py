"""A folder of real prior pictures, out of any captioned pictures: the retrieval service of the reference is gone."""

import json
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from diffkit.datasets.captions import read_captions, read_rows
from diffkit.datasets.hub_rows import HubRows, load_table
from diffkit.datasets.image_file import BadImageError, decode_image, file_digest, leaves, open_file, printable
from diffkit.datasets.image_folder import list_images

#: Files of a folder that the reference's ``retrieve.py`` filled: line i of both belongs together.
RETRIEVED = ("images.txt", "caption.txt")


@dataclass(frozen=True)
class Found:
    """A captioned picture: where it comes from, its captions, and its file or its row."""

    name: str
    captions: list[str]
    file: Path | None = None
    row: HubRows | None = None


def build_prior(
    source: str | Path,
    out: str | Path,
    *,
    num_images: int = 200,
    words: Sequence[str] = (),
    caption_column: str = "text",
    image_column: str = "image",
    split: str = "train",
    config_name: str | None = None,
    seed: int = 0,
) -> dict[str, int]:
    """Writes a flat folder of pictures with ``metadata.jsonl``, which ``class_data_root`` takes.

    Pictures are chosen at random among those whose caption has all of the words; equal files are taken once, and those
    that cannot be read are passed over. Files are copied as they are. The folder appears whole or not at all.

    Args:
        source: a folder of captioned images (sub-folders too), a folder that the reference's ``retrieve.py`` filled, a
            ``.jsonl`` or ``.csv`` file with ``file_name`` and a caption, or a dataset of the hub (needs ``datasets``).
        out: the folder to write; it must not exist, or be empty.
        num_images: how many, at least 1.
        words: whole words that a caption must have; capitals do not matter.
        caption_column: of the metadata, or of the dataset.
        image_column: of the dataset.
        split: of the dataset.
        config_name: of the dataset.
        seed: of the choice.

    Returns:
        ``written``, and of the source: ``captioned``, ``matching``, ``unreadable`` and ``equal``.

    Raises:
        ValueError: an argument is not valid, or there are not enough pictures; nothing is left then.
    """
    target = Path(out).expanduser()
    if num_images < 1:
        raise ValueError(f"num_images must be at least 1, got {num_images}")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ValueError(f"out={printable(target)!r} is there already and not empty: name another folder")
    found = list(find_captioned(source, caption_column, image_column, split, config_name))
    pattern = [re.compile(rf"(?<!\w){re.escape(word)}(?!\w)", re.IGNORECASE) for word in words]
    matching = [each for each in found if any(all(p.search(text) for p in pattern) for text in each.captions)]
    order = np.random.default_rng(seed).permutation(len(matching))
    aside = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    aside.mkdir(parents=True)
    try:
        counts = _write([matching[i] for i in order], aside, num_images, pattern)
        counts |= {"captioned": len(found), "matching": len(matching)}
        if counts["written"] < num_images:
            raise ValueError(
                f"num_images is {num_images}, and source={printable(source)!r} gives {counts['written']}: it has "
                f"{len(found)} captioned pictures, {len(matching)} of them with {', '.join(words) or 'any word'} in "
                f"the caption, of which {counts['unreadable']} cannot be read and {counts['equal']} come twice")
        if target.exists():
            target.rmdir()
        aside.rename(target)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return counts


def _write(chosen: Sequence[Found], folder: Path, number: int, pattern: Sequence[re.Pattern[str]]) -> dict[str, int]:
    counts = {"written": 0, "unreadable": 0, "equal": 0}
    seen: set[str] = set()
    with open(folder / "metadata.jsonl", "w", encoding="utf-8") as notes:
        for each in chosen:
            if counts["written"] == number:
                break
            try:
                stem = f"{counts['written']:05d}"
                name, digest = _copy(each, folder, stem, seen)
            except (BadImageError, OSError):
                counts["unreadable"] += 1
                continue
            if not name:
                counts["equal"] += 1
                continue
            seen.add(digest)
            texts = [text for text in each.captions if all(p.search(text) for p in pattern)]
            line = {"file_name": name, "text": texts if len(texts) > 1 else texts[0], "source": each.name}
            notes.write(json.dumps(line, ensure_ascii=False) + "\n")
            counts["written"] += 1
    return counts


def _copy(each: Found, folder: Path, stem: str, seen: set[str]) -> tuple[str, str]:
    """Writes a picture; returns its file name, which is empty where it is there already, and its digest."""
    if each.row is not None:
        picture, digest, _ = each.row.read(each.name)
        if digest in seen:
            return "", digest
        if not isinstance(picture.image, Image.Image):
            raise BadImageError("no picture")
        picture.image.save(folder / f"{stem}.png")
        return f"{stem}.png", digest
    if each.file is None:
        raise BadImageError("no file")
    with open_file(each.file) as file:
        digest = file_digest(file)
        if digest in seen:
            return "", digest
        decode_image(file)
    name = stem + each.file.suffix.lower()
    shutil.copyfile(each.file, folder / name)
    return name, digest


def find_captioned(source: str | Path, caption_column: str = "text", image_column: str = "image",
                   split: str = "train", config_name: str | None = None) -> Iterator[Found]:
    """Every picture of a source that has a caption; see :func:`build_prior`.

    Raises:
        ValueError: the source is none of those, or cannot be read.
        ImportError: it is a dataset of the hub, and ``datasets`` is not installed.
    """
    path = Path(source).expanduser()
    if path.is_dir() and all((path / name).is_file() for name in RETRIEVED):
        return _of_retrieved(path)
    if path.is_dir():
        return _of_folder(path, caption_column)
    if path.is_file():
        return _of_table(path, caption_column)
    if isinstance(source, str) and re.fullmatch(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", source):
        return _of_hub(source, caption_column, image_column, split, config_name)
    raise ValueError(f"source={printable(source)!r} is no folder, no file, and no name of a dataset (owner/name)")


def _of_folder(folder: Path, column: str) -> Iterator[Found]:
    listing = list_images(folder, "source", recursive=True)
    captions, _ = read_captions(listing.root, listing.images, "auto", column)
    for name in listing.images:
        if captions.get(name):
            yield Found(name, captions[name], listing.root / name)


def _of_retrieved(folder: Path) -> Iterator[Found]:
    """``images.txt`` has paths as they were where the pictures were fetched: only the file's name counts."""
    names, captions = ((folder / name).read_text(encoding="utf-8").splitlines() for name in RETRIEVED)
    if len(names) != len(captions):
        raise ValueError(
            f"source={printable(folder)!r}: images.txt has {len(names)} lines, caption.txt {len(captions)}")
    for name, caption in zip(names, captions, strict=True):
        if caption.strip():
            yield Found(name, [caption.strip()], folder / "images" / Path(name).name)


def _of_table(table: Path, column: str) -> Iterator[Found]:
    for name, captions in read_rows(table, column).items():
        file = table.parent / name
        if leaves(file, table.parent):
            raise ValueError(f"{printable(table)}: {name!r} lies outside of the folder of that file: copy it there")
        if captions:
            yield Found(name, captions, file)


def _of_hub(name: str, caption_column: str, image_column: str, split: str, config_name: str | None) -> Iterator[Found]:
    table: Any = load_table(name, config_name, split, "build_prior")
    for argument, column in (("image_column", image_column), ("caption_column", caption_column)):
        if column not in table.column_names:
            known = ", ".join(table.column_names)
            raise ValueError(f"{argument}={column!r} is no column of {name!r}; there are {known}")
    rows = HubRows(table, image_column, caption_column)
    for index, value in enumerate(table[caption_column]):
        listed = value if isinstance(value, list) else [value]
        texts = [text for text in listed if isinstance(text, str) and text.strip()]
        if texts:
            yield Found(f"row {index}", texts, row=rows)
