"""A quantised network as two files: tensors, and a description that says what belongs to them."""

import json
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from diffkit.export.artifacts import QuantizedArtifact
from diffkit.export.quantized.codes import LayerCodes
from diffkit.export.quantized.network import coded_layers, layer_tensors, other_tensors, quantized_bytes
from diffkit.export.quantized.proof import write_proof
from diffkit.export.tensors import save_tensors
from diffkit.utils.hashes import file_sha256
from diffkit.version import __version__

WEIGHTS_FILE = "quantized.safetensors"
INFO_FILE = "quantization.json"
FORMAT = 1


def write_quantized(artifact: QuantizedArtifact, folder: Path) -> list[Path]:
    """Writes ``folder/<component>_int8`` with tensors, description and, if there is one, the proof.

    Raises:
        ValueError: a layer has not been calibrated.
    """
    target = folder / f"{artifact.component}_int8"
    target.mkdir(parents=True, exist_ok=True)
    layers = {name: layer.layer_codes() for name, layer in coded_layers(artifact.module).items()}
    tensors = other_tensors(artifact.module)
    for name, codes in layers.items():
        tensors.update(layer_tensors(name, codes))
    save_tensors(tensors, target / WEIGHTS_FILE)
    info = describe(artifact, layers, tensors)
    info["sha256"] = file_sha256(target / WEIGHTS_FILE)
    (target / INFO_FILE).write_text(json.dumps(info, indent=1) + "\n", encoding="utf-8")
    written = [target / WEIGHTS_FILE, target / INFO_FILE]
    if artifact.proof is not None:
        written.append(write_proof(artifact.proof, target))
    return written


def describe(artifact: QuantizedArtifact, layers: Mapping[str, LayerCodes],
             tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """The content of the description, but for the hash of the tensors' file."""
    module: Any = artifact.module
    kept = {key: value for key, value in dict(module.config).items() if not key.startswith("_")}
    return {
        "format": FORMAT,
        "component": artifact.component,
        "class": _class_name(module),
        "config": json.loads(json.dumps(kept)),
        "layers": {name: _layer(codes) for name, codes in layers.items()},
        "bytes": sum(value.nbytes for value in tensors.values()),
        "source": {"pretrained": artifact.base, "sha256": artifact.source_sha256},
        "ranges": dict(artifact.details),
        "versions": {"diffkit": __version__, "torch": torch.__version__, "diffusers": version("diffusers")},
    }


def _class_name(module: nn.Module) -> str:
    """The name of the class in diffusers that the network is of."""
    return next(kind.__name__ for kind in type(module).__mro__ if kind.__module__.startswith("diffusers."))


def _layer(codes: LayerCodes) -> dict[str, Any]:
    """Bits, shape, and the range of the input."""
    entry: dict[str, Any] = {"shape": list(codes.codes.shape), "weight_bits": codes.weight_bits,
                             "input_bits": codes.input_bits}
    if codes.input_bits is not None and codes.input_scale is not None and codes.input_zero_point is not None:
        scale, zero = float(codes.input_scale), int(codes.input_zero_point)
        entry["input_range"] = [-zero * scale, (2**codes.input_bits - 1 - zero) * scale]
    return entry


def _quantized(artifacts: Sequence[Any]) -> list[QuantizedArtifact]:
    return [artifact for artifact in artifacts if isinstance(artifact, QuantizedArtifact)]


def write_all_quantized(artifacts: Sequence[Any], folder: Path) -> list[Path]:
    """Writes those of some artifacts that are quantised components."""
    return [path for artifact in _quantized(artifacts) for path in write_quantized(artifact, folder)]


def describe_quantized(artifacts: Sequence[Any], info: dict[str, Any]) -> None:
    """Adds the quantised components to the content of ``diffkit.json``, and what they were made of."""
    for artifact in _quantized(artifacts):
        info["holds"].append({"kind": "quantized", "component": artifact.component,
                              "folder": f"{artifact.component}_int8"})
        if not any(held["kind"] == "pipeline" for held in info["holds"]):
            info["base"] = info["base"] or artifact.base


def export_bytes_of_quantized(artifacts: Sequence[Any]) -> int:
    """About how many bytes the files of those artifacts take that are quantised components."""
    total = 0
    for artifact in _quantized(artifacts):
        layers = coded_layers(artifact.module)
        names = sum(map(len, layers)) * 6 + sum(map(len, other_tensors(artifact.module)))
        total += quantized_bytes(artifact.module) + names + 600 * len(layers) + 2000
    return total
