"""Nested training state as one safetensors file and one JSON file, and back, bit for bit."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

_TENSOR, _TUPLE, _ITEMS = "__tensor__", "__tuple__", "__items__"


def pack(value: Any, tensors: dict[str, torch.Tensor], name: str = "") -> Any:
    """Moves every tensor of a nest of dicts, lists and tuples into ``tensors``, under its path in the nest.

    Args:
        value: the nest; its leaves are tensors, str, int, float, bool or None.
        tensors: receives the tensors.
        name: path of ``value``, the front of all names.

    Returns:
        The same nest with references in place of the tensors, ready for JSON.

    Raises:
        TypeError: for a leaf of another type; the message names its path.
    """
    if isinstance(value, torch.Tensor):
        tensors[name] = value
        return {_TENSOR: name}
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, dict):
        if all(isinstance(key, str) and not key.startswith("__") for key in value):
            return {key: pack(item, tensors, _join(name, key)) for key, item in value.items()}
        return {_ITEMS: [[pack(key, tensors), pack(item, tensors, _join(name, key))] for key, item in value.items()]}
    if isinstance(value, (list, tuple)):
        items = [pack(item, tensors, _join(name, number)) for number, item in enumerate(value)]
        return items if isinstance(value, list) else {_TUPLE: items}
    raise TypeError(
        f"state {name or 'root'} has type {type(value).__name__}, which a checkpoint cannot hold; "
        "allowed are tensors, dict, list, tuple, str, int, float, bool and None"
    )


def unpack(value: Any, tensors: dict[str, torch.Tensor]) -> Any:
    """Returns the nest that ``pack`` took apart.

    Raises:
        KeyError: a tensor that the JSON names is missing.
    """
    if isinstance(value, list):
        return [unpack(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    if _TENSOR in value:
        return tensors[value[_TENSOR]]
    if _TUPLE in value:
        return tuple(unpack(item, tensors) for item in value[_TUPLE])
    if _ITEMS in value:
        return {unpack(key, tensors): unpack(item, tensors) for key, item in value[_ITEMS]}
    return {key: unpack(item, tensors) for key, item in value.items()}


def host_copy(value: Any) -> Any:
    """A copy of a nest in the memory of the host, which later changes of its tensors do not touch."""
    if isinstance(value, torch.Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, dict):
        return {key: host_copy(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(host_copy(item) for item in value)
    return value


def save_tensors(tensors: dict[str, torch.Tensor], path: Path) -> None:
    """Writes tensors of any device to a safetensors file; tensors that share memory are written apart."""
    save_file(
        {
            name: tensor.detach().cpu().contiguous().clone() if _is_view(tensor) else tensor.detach().cpu().contiguous()
            for name, tensor in tensors.items()
        },
        path,
    )


def load_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Reads a safetensors file to the CPU."""
    return load_file(path)


def save_nest(value: Any, stem: Path) -> None:
    """Writes a nest as ``<stem>.json`` and, if it has tensors, ``<stem>.safetensors``."""
    tensors: dict[str, torch.Tensor] = {}
    write_json(pack(value, tensors), stem.with_suffix(".json"))
    if tensors:
        save_tensors(tensors, stem.with_suffix(".safetensors"))


def load_nest(stem: Path) -> Any:
    """Reads what ``save_nest`` wrote."""
    tensor_file = stem.with_suffix(".safetensors")
    tensors = load_tensors(tensor_file) if tensor_file.exists() else {}
    return unpack(read_json(stem.with_suffix(".json")), tensors)


def write_json(value: Any, path: Path) -> None:
    """Writes JSON; floats come back exactly."""
    path.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Reads JSON."""
    return json.loads(path.read_text(encoding="utf-8"))


def _join(name: str, key: object) -> str:
    return f"{name}/{key}" if name else str(key)


def _is_view(tensor: torch.Tensor) -> bool:
    return tensor.untyped_storage().nbytes() != tensor.numel() * tensor.element_size()
