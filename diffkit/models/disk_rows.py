"""What a frozen encoder gave, kept on disk by what it was given: a later training need not run it."""

import hashlib
import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from mmengine.logging import print_log
from safetensors.torch import load, save
from torch import Tensor

from diffkit.utils.encoded_stores import ABOUT, Kind, entry_name, entry_path
from diffkit.utils.sealed import fault, sealed
from diffkit.utils.write_aside import write_aside

#: Raise it when the same picture or prompt is encoded differently by a new version of diffkit.
FORMAT = 1
#: Rows that are read once and then stay in memory, in bytes.
IN_MEMORY = 2**28

Row = dict[str, Tensor]


class DiskRows:
    """Rows by a hash of what was encoded. All that they depend on besides is in the name of their folder.

    Any number of processes may read and write at once: an entry appears whole or not at all, and whoever writes it
    writes the same. A damaged entry is made again. Where nothing can be written, the disk being full for instance, that
    is said once, and what is new stays in memory.

    Attributes:
        made: how many rows were not there.

    Args:
        folder: of all caches; made where it is not there.
        kind: what the rows are.
        identity: all that they depend on besides what was encoded, as plain values; asked for when it is first needed.
        model: how the user knows the model, for ``diffkit cache``.
        in_memory: bytes of rows that are kept in memory once they were read or made.
    """

    def __init__(self, folder: Path, kind: Kind, identity: Callable[[], dict[str, Any]], model: str,
                 in_memory: int = IN_MEMORY) -> None:
        self.folder, self.kind, self.model = folder, kind, model
        self._identity: dict[str, Any] | Callable[[], dict[str, Any]] = identity
        self._stores: dict[str, Path] = {}
        self._kept: dict[Path, Row] = {}
        self._room: float = in_memory
        self._writes = True
        self.made = 0

    def row(self, key: str, compute: str, make: Callable[[], Row]) -> Row:
        """The row of a key, on the CPU; what is not there is made and written.

        Args:
            key: a hash of what is encoded.
            compute: device and number format in which it is encoded.
            make: encodes it.
        """
        store = self._store(compute)
        path = entry_path(store, key)
        row = self._kept.get(path)
        if row is None:
            row = self._read(path)
            if row is None:
                row = {name: value.detach().cpu().contiguous() for name, value in make().items()}
                self.made += 1
                self._write(path, row)
            self._keep(path, row)
        return row

    def _store(self, compute: str) -> Path:
        """The folder of rows that were computed so; opening it makes it a used one."""
        if compute not in self._stores:
            if callable(self._identity):
                self._identity = self._identity()
            about = {"format": FORMAT, "kind": self.kind, "compute": compute, **self._identity}
            name = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:32]
            self._stores[compute] = store = self.folder / self.kind / name
            self._mark(store / ABOUT, json.dumps({"model": self.model, **about}, indent=1).encode() + b"\n")
        return self._stores[compute]

    def _mark(self, about: Path, content: bytes) -> None:
        try:
            about.parent.mkdir(parents=True, exist_ok=True)
            if about.is_file() and about.read_bytes() == content:
                os.utime(about)
            else:
                write_aside(about, content)
        except OSError as error:
            self._give_up(error)

    def _read(self, path: Path) -> Row | None:
        """The row of an entry that is sound; None where there is none."""
        try:
            content = path.read_bytes()
            words = fault(content, entry_name(path.parent.parent, path.stem))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            words = f"it cannot be read ({error.strerror or error})"
        if not words:
            return load(content)
        print_log(f"{path} is damaged ({words}): it is made again", logger="current", level=logging.WARNING)
        return None

    def _write(self, path: Path, row: Row) -> None:
        if not self._writes or not all(bool(value.isfinite().all()) for value in row.values()):
            return  # what is not finite ends the training; it shall not end the next one too
        content = sealed(save(row), entry_name(path.parent.parent, path.stem))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_aside(path, content)
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        """Says once that nothing can be written; from now on memory has to do."""
        if self._writes:
            self._writes, self._room = False, float("inf")
            print_log(f"the cache of {self.kind} in {self.folder} cannot be written ({error.strerror or error}): what "
                      "is encoded from now on stays in memory, and the training goes on", logger="current",
                      level=logging.WARNING)

    def _keep(self, path: Path, row: Row) -> None:
        size = sum(value.nbytes for value in row.values())
        if size <= self._room:
            self._room -= size
            self._kept[path] = row


def tensor_key(value: Tensor) -> str:
    """A hash of a tensor's shape, number format and values: the key of a picture as the encoder sees it."""
    digest = hashlib.sha256(f"{list(value.shape)} {value.dtype}".encode())
    digest.update(value.detach().cpu().contiguous().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def text_key(text: str) -> str:
    """A hash of a prompt; the prompt itself is not written."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
