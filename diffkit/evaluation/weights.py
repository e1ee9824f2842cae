"""Weights of networks that judge pictures: a folder or file of this machine, or a model of the hub."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


class MetricWeightsError(ValueError):
    """The weights of a metric are not here; the message says what to fetch and where to put its path."""


def load_part(kind: Callable[..., Any], weights: str, metric: str, **options: Any) -> Any:
    """Calls a ``from_pretrained`` of transformers.

    Args:
        kind: the function.
        weights: a folder, or a model of the hub.
        metric: what asks for it, in words.
        options: further arguments of the function.

    Raises:
        MetricWeightsError: it is not there, or holds no such part.
    """
    place = Path(weights).expanduser()
    if not place.is_dir() and (weights[:1] in "./~" or weights.count("/") != 1):
        raise MetricWeightsError(
            f"{metric}: weights={weights!r} is neither a folder nor a model of the hub (owner/name)")
    try:
        return kind(str(place) if place.is_dir() else weights, **options)
    except (OSError, ValueError) as error:
        lines = str(error).strip().splitlines()
        raise MetricWeightsError(
            f"{metric}: weights={weights!r} cannot be loaded ({lines[0] if lines else type(error).__name__}). "
            + _advice(weights, place.is_dir())) from error


def _advice(weights: str, is_folder: bool) -> str:
    if is_folder:
        return "The folder has to hold what save_pretrained of transformers writes, with model.safetensors."
    return (f"Fetch it where there is a network, `hf download {weights} --local-dir FOLDER`, and give weights='FOLDER'."
            " Where it has no safetensors file, allow_pickle=True reads its .bin (tensors alone, no code).")


def load_tensors_of(weights: str, metric: str, source: str, allow_pickle: bool = False) -> "dict[str, Tensor]":
    """The tensors of a ``.safetensors`` file, or, if that is allowed, of a ``.pth`` file without the code in it.

    Args:
        weights: the file.
        metric: what asks for it, in words.
        source: what to fetch where it is missing, in words.
        allow_pickle: whether other files than safetensors may be read.

    Raises:
        MetricWeightsError: there is no such file, or it may not or cannot be read.
    """
    path = Path(weights).expanduser()
    if not path.is_file():
        raise MetricWeightsError(f"{metric}: weights={weights!r} is no file. {source}")
    if path.suffix != ".safetensors" and not allow_pickle:
        raise MetricWeightsError(
            f"{metric}: weights={weights!r} is no .safetensors file. Give allow_pickle=True to read it (tensors alone, "
            "no code), or convert it: "
            "safetensors.torch.save_file(torch.load(FILE, weights_only=True), 'FILE.safetensors')")
    tensors = _read(path, f"{metric}: weights={weights!r}")
    if not isinstance(tensors, dict):
        raise MetricWeightsError(f"{metric}: weights={weights!r} holds no tensors by name. {source}")
    return {name: value for name, value in tensors.items() if hasattr(value, "shape")}


def _read(path: Path, what: str) -> Any:
    """The content of a file of tensors; whatever the libraries raise becomes one message."""
    from pickle import UnpicklingError

    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        raise MetricWeightsError(f"{what} cannot be read: it holds more than tensors, or is damaged") from error
    except (OSError, ValueError, RuntimeError, EOFError, SafetensorError) as error:
        said = str(error).strip().splitlines() or [type(error).__name__]
        raise MetricWeightsError(f"{what} cannot be read: {said[0]}") from error


def load_strictly(network: Any, tensors: "dict[str, Tensor]", weights: str, metric: str) -> None:
    """Puts tensors into a network that needs all of them; what it does not know is left out.

    Raises:
        MetricWeightsError: a tensor is missing, or has another shape.
    """
    own = network.state_dict()
    faults = [f"{name} is missing" for name in own.keys() - tensors.keys()]
    faults += [f"{name} is {list(tensors[name].shape)}, not {list(own[name].shape)}"
               for name in own.keys() & tensors.keys() if own[name].shape != tensors[name].shape]
    if faults:
        shown = "; ".join(sorted(faults)[:5])
        raise MetricWeightsError(f"{metric}: {weights} does not fit ({len(faults)} faults): {shown}")
    network.load_state_dict({name: tensors[name] for name in own})
