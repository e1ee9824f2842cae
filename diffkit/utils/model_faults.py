"""What speaks against loading a model, told from its files before anything is loaded."""

import re
from collections.abc import Collection, Iterable
from pathlib import Path

from diffkit.utils.foreign_code import code_wanted
from diffkit.utils.weight_files import index_fault, safetensors_fault

_WEIGHTS = re.compile(r"(diffusion_pytorch_model|model)(-\d+-of-\d+)?\.safetensors")
_INDEX = ".safetensors.index.json"


def model_fault(source: str | Path, files: Collection[str], parts: Iterable[str]) -> str:
    """What speaks against loading a model; an empty text where nothing does.

    Configs that ask for code, and files of weights that are something else, damaged or elsewhere. The weights of a
    model on the hub are looked at by nobody before they are downloaded.

    Args:
        source: a folder, or a hub id; then the configs, which are small, are downloaded.
        files: its files and those of its direct folders, with ``/``.
        parts: the folders whose weights will be read; an empty text is ``source`` itself.

    Returns:
        The rest of a sentence that begins with the model's name.
    """
    near = [file for file in files if file.count("/") <= 1]
    local = source if isinstance(source, Path) else None
    try:
        fault = code_wanted(near, lambda file: _download(str(source), file) if local is None else local / file)
    except OSError:  # the hub does not give a config: whoever loads the model will say so
        return ""
    if fault:
        return f"{fault}."
    return "" if local is None else _weights_fault(local, near, set(parts))


def _weights_fault(folder: Path, files: Iterable[str], parts: set[str]) -> str:
    for file in sorted(files):
        part, _, name = file.rpartition("/")
        if part not in parts:
            continue
        fault = ""
        if _WEIGHTS.fullmatch(name):
            fault = safetensors_fault(folder / file)
        elif name.endswith(_INDEX):
            fault = index_fault(folder / file)
        if fault:
            return f"has a damaged {file}: {fault}."
    return ""


def _download(name: str, file: str) -> Path:
    from huggingface_hub import hf_hub_download

    return Path(hf_hub_download(name, file))
