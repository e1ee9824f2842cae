"""Images whose files are odd: links, names, pipes, shapes, and bombs."""

import os
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from tests.faults.bombs import bombs, encoded
from tests.faults.cases import RED, Case, corners


def _links(folder: Path) -> Iterator[Case]:
    outside = folder.parent / "outside"
    outside.mkdir(exist_ok=True)
    corners().save(outside / "secret.png")
    corners().save(folder / "plain.png")
    (folder / "out.png").symlink_to(outside / "secret.png")
    (folder / "up.png").symlink_to("../outside/secret.png")
    (folder / "chain.png").symlink_to("out.png")
    (folder / "inside.png").symlink_to("plain.png")
    (folder / "dead.png").symlink_to("nothing.png")
    (folder / "round.png").symlink_to("round.png")
    for name in ("out.png", "up.png", "chain.png"):
        yield Case("link", name, "leaves the folder")
    for name in ("dead.png", "round.png"):
        yield Case("link", name, "cannot be read")
    yield Case("link", "inside.png")
    yield Case("link", "plain.png")


ODD_NAMES = ("a b  c'\".png", "ünï 照片 🐕.png", "two\nlines.png", "-rf.png", "--help.png", "x" * 251 + ".png",
             "a.b.tar.gz.png", "UPPER.PNG", "mIxEd.JpG", "%00$(touch x);&|.png", "esc\x1b[2J.png", "\u202egnp.png",
             b"x\xff\xfe.png".decode("utf-8", "surrogateescape"), "a\\b.png", " .png")


def _names(folder: Path) -> Iterator[Case]:
    for name in ODD_NAMES:
        (folder / name).write_bytes(encoded(corners(), "PNG"))
        yield Case("odd name", name)
    (folder / "bad\nname.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    yield Case("odd name", "bad\nname.png", "not a picture")


def _shapes(folder: Path) -> Iterator[Case]:
    Image.new("RGB", (1, 1), "red").save(folder / "dot.png")
    yield Case("odd shape", "dot.png", corners=(RED,) * 4)
    Image.new("RGB", (1, 60_000), "red").save(folder / "narrow.png")
    yield Case("odd shape", "narrow.png", "too narrow")


def _no_files(folder: Path) -> Iterator[Case]:
    os.mkfifo(folder / "pipe.png")
    yield Case("no file", "pipe.png", "not a file")


def _bombs(folder: Path) -> Iterator[Case]:
    for name, (content, reason) in bombs().items():
        (folder / name).write_bytes(content)
        yield Case("bomb", name, reason)
    with open(folder / "bomb_sparse.png", "wb") as file:  # a terabyte that takes no room on the disk
        file.write(encoded(corners(), "PNG"))
        file.truncate(1 << 40)
    yield Case("bomb", "bomb_sparse.png", "bytes, allowed are")


#: All of them: each writes its cases into a folder.
MAKERS = (_links, _names, _shapes, _no_files, _bombs)
