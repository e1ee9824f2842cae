"""Weights of a frozen network that are fetched layer by layer, while the layer runs."""

import tempfile
import weakref
from collections.abc import Iterator, Mapping
from pathlib import Path
from shutil import rmtree
from typing import Any, Literal

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from diffkit.utils.user_cache import cache_folder

#: Where the weights wait: in the memory of the host, or in a file.
Place = Literal["cpu", "disk"]


class OffloadedWeights(Mapping[str, Tensor]):
    """Takes the weights out of a network; each layer has its own while it runs, and only then.

    On a CPU only ``"disk"`` saves memory: the file is mapped, and its pages are the system's to drop. On another device
    both do; ``"cpu"`` is the faster one.

    Args:
        network: frozen; what it holds besides parameters stays in it.
        place: ``"cpu"`` or ``"disk"``, a file in diffkit's cache folder that goes with this object.
    """

    def __init__(self, network: nn.Module, place: Place) -> None:
        weights = {name: parameter.detach().cpu().contiguous()
                   for name, parameter in network.named_parameters(remove_duplicate=False)}
        self._names = tuple(weights)
        self._kept: dict[str, Tensor] = {}
        self._file: Any = None
        self.largest = 0
        if place == "disk":
            self._write(weights)
        else:
            self._kept = weights
        for name, layer in network.named_modules():
            prefix = f"{name}." if name else ""
            own = {key: prefix + key for key, parameter in layer._parameters.items() if parameter is not None}
            if own:
                self.largest = max(self.largest, sum(weights[full].nbytes for full in own.values()))
                self._empty(layer, own)

    def _write(self, weights: dict[str, Tensor]) -> None:
        folder = cache_folder() / "teachers"
        folder.mkdir(parents=True, exist_ok=True)
        place = Path(tempfile.mkdtemp(dir=folder))
        weakref.finalize(self, rmtree, place, ignore_errors=True)
        save_file(weights, place / "teacher.safetensors")
        self._file = safe_open(place / "teacher.safetensors", framework="pt")

    def _empty(self, layer: nn.Module, own: dict[str, str]) -> None:
        """Takes the weights out of a layer, and lets it fetch them when it runs."""
        for key in own:
            parameter: Any = layer._parameters[key]
            parameter.data = torch.empty(0, dtype=parameter.dtype, device=parameter.device)
        waiting: dict[str, Any] = {}

        def fetch(layer: nn.Module, inputs: Any) -> None:
            for key, full in own.items():
                waiting[key] = layer._parameters[key]
                layer._parameters[key] = self[full].to(waiting[key].device)  # type: ignore[assignment]

        def drop(layer: nn.Module, inputs: Any, output: Any) -> None:
            layer._parameters.update(waiting)
            waiting.clear()

        layer.register_forward_pre_hook(fetch)
        layer.register_forward_hook(drop, always_call=True)

    def __getitem__(self, name: str) -> Tensor:
        return self._kept[name] if self._file is None else self._file.get_tensor(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)
