"""A quantised network from its files: whole and as it was saved, or not at all."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from diffkit.export.quantized.codes import stored_shape, weight_limits
from diffkit.export.quantized.files import FORMAT, INFO_FILE, WEIGHTS_FILE
from diffkit.export.quantized.layers import QuantizedLayer, quantized_layers, quantized_like, replace_layer
from diffkit.export.tensors import read_tensors
from diffkit.utils.hashes import file_sha256
from diffkit.utils.step_folder import read_json

#: The classes of networks that are read; no other name is looked up.
CLASSES = ("UNet2DConditionModel",)


def load_quantized(folder: str | Path, dtype: torch.dtype | None = None) -> nn.Module:
    """Builds a quantised network, without its float weights, in evaluation mode on the CPU.

    Args:
        folder: ``step<N>/unet_int8``.
        dtype: of everything that is not quantised; None keeps what was saved. Scales stay float32.

    Raises:
        ValueError: a file is missing or damaged, or tensors and description do not belong to each other.
    """
    folder = Path(folder)
    info = read_info(folder)
    path = folder / WEIGHTS_FILE
    if not path.is_file():
        raise ValueError(f"{folder} has no {WEIGHTS_FILE}.")
    if (found := file_sha256(path)) != info["sha256"]:
        raise ValueError(f"{path} is not the file that {INFO_FILE} describes: its SHA-256 is {found[:16]}…, not "
                         f"{str(info['sha256'])[:16]}….")
    network = _empty_network(info, folder)
    tensors = read_tensors(path)
    _check_tensors(network, tensors, folder)
    network.load_state_dict(_in_memory(tensors), strict=True, assign=True)
    network.requires_grad_(False)
    return network.eval() if dtype is None else nn.Module.to(network, dtype).eval()


def _in_memory(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Copies float weights, which begin anywhere in a file: the last bits of products depend on where values begin."""
    return {name: value.clone() if value.is_floating_point() and value.ndim > 1 else value
            for name, value in tensors.items()}


def read_info(folder: Path) -> dict[str, Any]:
    """Reads the description of a quantised network.

    Raises:
        ValueError: it is missing, damaged, or of a format that this version does not know.
    """
    path = folder / INFO_FILE
    if not path.is_file():
        raise ValueError(f"{folder} has no {INFO_FILE}: it holds no quantised network.")
    info = read_json(path)
    if info.get("format") != FORMAT:
        raise ValueError(f"{path} has format {info.get('format')!r}; this version reads {FORMAT}.")
    if info.get("class") not in CLASSES:
        raise ValueError(f"{path} describes a {info.get('class')!r}; known: {', '.join(CLASSES)}.")
    for key, kind in (("config", dict), ("layers", dict), ("sha256", str), ("source", dict)):
        if not isinstance(info.get(key), kind):
            raise ValueError(f"{path} is damaged: {key} is not what this program writes.")
    return info


def _empty_network(info: dict[str, Any], folder: Path) -> nn.Module:
    """The network without values, its layers quantised as the description says."""
    import diffusers

    try:
        with torch.device("meta"):
            network = getattr(diffusers, info["class"]).from_config(info["config"])
    except (TypeError, ValueError, KeyError) as error:
        raise ValueError(f"{folder / INFO_FILE} has a config that makes no {info['class']}: {error}") from error
    floats = dict(network.named_modules())
    for name, entry in info["layers"].items():
        if name not in floats:
            raise ValueError(f"{folder / INFO_FILE} names a layer {name!r} that its config does not make.")
        replace_layer(network, name, _empty_layer(name, floats[name], entry, folder))
    return network


def _empty_layer(name: str, layer: nn.Module, entry: Any, folder: Path) -> QuantizedLayer:
    try:
        bits, input_bits = entry["weight_bits"], entry["input_bits"]
        if bits not in range(2, 9) or input_bits not in (None, *range(2, 9)):
            raise ValueError(f"weight_bits is {bits!r} and input_bits is {input_bits!r}")
        with torch.device("meta"):
            made = quantized_like(layer, bits, input_bits)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{folder / INFO_FILE} does not fit layer {name!r}: {error!r}.") from None
    if list(made.shape) != entry.get("shape"):
        raise ValueError(f"{folder / INFO_FILE} says that {name!r} is {entry.get('shape')}; its config makes "
                         f"{list(made.shape)}.")
    return made


def _check_tensors(network: nn.Module, tensors: dict[str, Tensor], folder: Path) -> None:
    """Refuses tensors that are missing, too many, or of another shape, kind or range."""
    wanted = network.state_dict()
    faults = [f"{name} is missing" for name in sorted(wanted.keys() - tensors.keys())]
    faults += [f"{name} is unknown" for name in sorted(tensors.keys() - wanted.keys())]
    for name in sorted(wanted.keys() & tensors.keys()):
        own, found = wanted[name], tensors[name]
        same_kind = own.dtype == found.dtype or (own.is_floating_point() and found.is_floating_point())
        if own.shape != found.shape or not same_kind:
            faults.append(f"{name} is {found.dtype} {list(found.shape)} instead of {own.dtype} {list(own.shape)}")
    for name, layer in quantized_layers(network).items() if not faults else ():
        faults += _layer_faults(name, layer, tensors)
    if faults:
        raise ValueError(f"{folder / WEIGHTS_FILE} does not fit its description ({len(faults)} faults): "
                         + "; ".join(faults[:5]))


def _layer_faults(name: str, layer: QuantizedLayer, tensors: dict[str, Tensor]) -> list[str]:
    """Values that no quantised layer has."""
    faults = []
    weight, (_, stored) = tensors[f"{name}.weight"], stored_shape(layer.shape, layer.weight_bits)
    least, largest = weight_limits(layer.weight_bits)
    if stored == torch.int8 and weight.numel() and not (
            least <= int(weight.min()) and int(weight.max()) <= largest):
        faults.append(f"{name}.weight has codes beyond {layer.weight_bits} bits")
    for scale in ("weight_scale", "input_scale"):
        if f"{name}.{scale}" in tensors and not bool((tensors[f"{name}.{scale}"] > 0).all()):
            faults.append(f"{name}.{scale} has values that are not above 0")
    if layer.input_bits is not None and not 0 <= int(tensors[f"{name}.input_zero_point"]) < 2**layer.input_bits:
        faults.append(f"{name}.input_zero_point is no code of {layer.input_bits} bits")
    return faults
