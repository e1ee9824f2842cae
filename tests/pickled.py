"""Models whose weights are pickled, as old ones of the hub are."""

import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file


def pickled_copy(source: Path, folder: Path, parts: tuple[str, ...] = ()) -> Path:
    """Copies a diffusers folder and turns its weights (of ``parts``, or of all) into .bin files.

    transformers does not write such files any more; they are what ``torch.save`` makes.
    """
    shutil.copytree(source, folder)
    for file in folder.rglob("*.safetensors"):
        if not parts or file.parent.name in parts:
            torch.save(load_file(file), _pickled_name(file))
            file.unlink()
    return folder


def add_code(folder: Path, trace: Path) -> None:
    """Puts an object into each .bin file that creates ``trace`` when it is unpickled without care."""
    for file in folder.rglob("*.bin"):
        torch.save({**torch.load(file, weights_only=True), "code": _Code(trace)}, file)


def _pickled_name(file: Path) -> Path:
    return file.with_name("pytorch_model.bin") if file.stem == "model" else file.with_suffix(".bin")


class _Code:
    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.trace,)
