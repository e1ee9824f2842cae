"""A fault of a config, and the error that lists all of them."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Fault:
    """One fault.

    Attributes:
        key: the path of the key, as ``--cfg-options`` would name it: ``train_dataloader.dataset.data_root``.
        message: what is wrong, what was given and what is allowed. file: the config file that sets the key,
        ``--cfg-options``, or empty when it is not known. line: the line in that file, from 1. kind: ``key``
        (unknown or missing), ``type``, ``value``, ``path`` (a file or folder that is not there),
            ``conflict`` (options that exclude each other) or ``load`` (the config cannot be read).
    """

    key: str
    message: str
    file: str = ""
    line: int | None = None
    kind: str = "value"

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.file and self.line else self.file
        return ": ".join(part for part in (where, self.key, self.message) if part)


class ConfigError(ValueError):
    """A config that cannot be run.

    Attributes:
        faults: every fault that was found.
        config: what was checked, as a user would name it.
    """

    def __init__(self, faults: Sequence[Fault], config: str = "") -> None:
        self.faults = list(faults)
        self.config = config
        count = f"{len(self.faults)} faults" if len(self.faults) != 1 else "1 fault"
        lines = [
            f"{count} in {config or 'the config'}; nothing was loaded:",
            *(f"  {f}" for f in self.faults),
        ]
        super().__init__("\n".join(lines))


def shown_path(path: str | Path) -> str:
    """Returns a path as a user would type it: relative when it lies below the working directory."""
    relative = os.path.relpath(path)
    return os.path.normpath(path) if relative.startswith("..") else relative


def shown(value: object, limit: int = 80) -> str:
    """Returns a value as one short line of text."""
    text = repr(value)
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
