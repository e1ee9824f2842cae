"""What attacks on the loading of models are made of: how a model is prepared, and how it is loaded without care."""

import importlib.util
import pickle
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from diffusers import DiffusionPipeline
from diffusers.utils import dynamic_modules_utils

from tests.faults.payloads import edit_json, module, torch_file

UNET = "unet/diffusion_pytorch_model"
#: Changes a diffusers folder; gets the folder and the marker.
Prepare = Callable[[Path, Path], None]


def pickle_in(file: str, make: Callable[[Path], bytes], suffix: str) -> Prepare:
    """Puts a payload in the place of weights."""

    def prepare(folder: Path, marker: Path) -> None:
        (folder / f"{file}.safetensors").unlink()
        (folder / f"{file}{suffix}").write_bytes(make(marker))

    return prepare


def single(make: Callable[[Path], bytes], suffix: str) -> Prepare:
    """Writes a payload as a file beside the folder."""

    def prepare(folder: Path, marker: Path) -> None:
        folder.with_name(folder.name + suffix).write_bytes(make(marker))

    return prepare


def legacy(marker: Path) -> bytes:
    """What torch wrote before 1.6."""
    return torch_file(marker, legacy=True)


def load_torch(file: str) -> Callable[[Path], Any]:
    """Unpickles a file of torch, whatever its suffix."""

    def load(folder: Path) -> Any:
        with (folder / file).open("rb") as opened:
            return torch.load(opened, weights_only=False)

    return load


def unpickle(file: str) -> Callable[[Path], Any]:
    """Unpickles a file."""
    return lambda folder: pickle.loads((folder / file).read_bytes())


def untar(path: Path) -> None:
    """Unpacks as programs do that trust the names in an archive."""
    with tarfile.open(path) as archive:
        for member in archive:
            Path(path.parent / member.name).resolve().touch()


def unzip(path: Path) -> None:
    """Unpacks as programs do that trust the names in an archive."""
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            (path.parent / name).resolve().touch()


def index(**changes: Any) -> Prepare:
    """Changes the index of the pipeline, and lays code wherever a library might look for it."""

    def prepare(folder: Path, marker: Path) -> None:
        edit_json(folder / "model_index.json", **changes)
        for place in (folder, folder / "unet"):
            for name in ("evil", "pipeline"):
                (place / f"{name}.py").write_text(_pipeline(marker))

    return prepare


def _pipeline(marker: Path) -> str:
    return ("from diffusers import DiffusionPipeline\n" + module(marker)
            + "\nclass MyPipeline(DiffusionPipeline):\n    pass\n")


def config(file: str, **changes: Any) -> Prepare:
    """Changes a config of a part, and lays code beside it."""

    def prepare(folder: Path, marker: Path) -> None:
        edit_json(folder / file, **changes)
        (folder / file).with_name("evil.py").write_text(module(marker))

    return prepare


def trusting(folder: Path) -> None:
    """Loads a pipeline and lets it run its code."""
    kept = dynamic_modules_utils.HF_MODULES_CACHE
    dynamic_modules_utils.HF_MODULES_CACHE = str(folder.parent / "modules")
    try:
        DiffusionPipeline.from_pretrained(folder, trust_remote_code=True)
    finally:
        dynamic_modules_utils.HF_MODULES_CACHE = kept


def import_file(file: str) -> Callable[[Path], None]:
    """Imports a module of the model, as a library does that trusts it."""

    def load(folder: Path) -> None:
        spec = importlib.util.spec_from_file_location("evil_module", folder / file)
        if spec is None or spec.loader is None:
            raise ImportError(file)
        spec.loader.exec_module(importlib.util.module_from_spec(spec))

    return load


def in_the_path(folder: Path, marker: Path) -> None:
    """The index names a module that Python finds: it lies in the working folder of the user, for example."""
    index(unet=["evil_in_path", "Evil"])(folder, marker)
    (folder.parent / "evil_in_path.py").write_text(module(marker))
    sys.path.insert(0, str(folder.parent))


def import_in_path(folder: Path) -> None:
    """Imports that module."""
    sys.path.remove(str(folder.parent))
    import_file("../evil_in_path.py")(folder)


def shards(target: str) -> Prepare:
    """Weights in several files, one of which is a pickle beside it or elsewhere."""

    def prepare(folder: Path, marker: Path) -> None:
        (folder / f"{UNET}.safetensors").unlink()
        (folder / "unet" / target).write_bytes(torch_file(marker))
        (folder / f"{UNET}.safetensors.index.json").write_text(
            f'{{"metadata": {{}}, "weight_map": {{"conv_in.weight": "{target}"}}}}')

    return prepare
