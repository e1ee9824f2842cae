"""Weights of frozen networks that wait elsewhere, and are fetched while what they belong to runs."""

import os
import platform
import tempfile
import weakref
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
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
#: A weight: the name of its layer below what fetches it, its name there, and its name in the network.
_Weight = tuple[str, str, str]


class OffloadedWeights(Mapping[str, Tensor]):
    """Takes the weights out of a network; a layer, or another part of it, has its own while it runs, and only then.

    On a CPU only ``"disk"`` saves memory: the file is mapped, and its pages are the system's to drop. On another device
    both do; ``"cpu"`` is the faster one. Whoever asks the network for its ``state_dict()`` gets the weights.

    Attributes:
        largest: bytes that are fetched at once, at most.
        nbytes: bytes of all weights.

    Args:
        network: frozen; what it holds besides parameters stays in it.
        place: ``"cpu"`` or ``"disk"``, a file in diffkit's cache folder that goes with this object.
        units: names of modules, ``""`` being the network, each of which has all weights below it while it runs; they
            have to hold all of the network's. None is every layer.
    """

    def __init__(self, network: nn.Module, place: Place, units: Iterable[str] | None = None) -> None:
        weights = {name: parameter.detach().cpu().contiguous()
                   for name, parameter in network.named_parameters(remove_duplicate=False)}
        self._names = dict.fromkeys(weights)
        self._kept: dict[str, Tensor] = {}
        self._path: Path | None = None
        self._file: Any = None
        self.largest = 0
        self.nbytes = sum(weight.nbytes for weight in weights.values())
        if place == "disk":
            self._path = self._write(weights)
        else:
            self._kept = weights
        for unit, own in _units(network, units):
            self.largest = max(self.largest, sum(weights[full].nbytes for _, _, full in own))
            self._empty(unit, own)
        if self._path is not None and units is None:
            self._file = safe_open(self._path, framework="pt")  # layers come too often to open it for each
        network.register_state_dict_post_hook(partial(_fill, self))

    def _write(self, weights: dict[str, Tensor]) -> Path:
        folder = cache_folder() / "offloaded"
        folder.mkdir(parents=True, exist_ok=True)
        _sweep(folder)
        place = Path(tempfile.mkdtemp(dir=folder, prefix=f"{platform.node()}-{os.getpid()}-"))
        weakref.finalize(self, rmtree, place, ignore_errors=True)
        save_file(weights, place / "weights.safetensors")
        return place / "weights.safetensors"

    def _empty(self, unit: nn.Module, own: list[_Weight]) -> None:
        """Takes the weights out of a unit, and lets it fetch them when it runs."""
        for layer, key, _ in own:
            parameter: Any = unit.get_submodule(layer)._parameters[key]
            parameter.data = torch.empty(0, dtype=parameter.dtype, device=parameter.device)
        waiting: list[tuple[nn.Module, str, Any]] = []

        def fetch(unit: nn.Module, inputs: Any) -> None:
            for (name, key, _), weight in zip(own, self._read([full for _, _, full in own]), strict=True):
                layer = unit.get_submodule(name)
                waiting.append((layer, key, layer._parameters[key]))
                layer._parameters[key] = weight.to(waiting[-1][2].device)  # type: ignore[assignment]

        def drop(unit: nn.Module, inputs: Any, output: Any) -> None:
            for layer, key, empty in waiting:
                layer._parameters[key] = empty
            waiting.clear()

        unit.register_forward_pre_hook(fetch)
        unit.register_forward_hook(drop, always_call=True)

    def _read(self, names: Iterable[str]) -> Iterator[Tensor]:
        if self._path is None:
            yield from (self._kept[name] for name in names)
        elif self._file is not None:
            yield from (self._file.get_tensor(name) for name in names)
        else:
            with safe_open(self._path, framework="pt") as file:
                yield from (file.get_tensor(name) for name in names)

    def __getitem__(self, name: str) -> Tensor:
        return next(self._read([name]))

    def __contains__(self, name: object) -> bool:
        return name in self._names  # without reading it

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def _fill(weights: OffloadedWeights, network: nn.Module, state: dict[str, Any], prefix: str, metadata: Any) -> None:
    """Puts the weights into what ``state_dict()`` of their network gives."""
    for name, weight in weights.items():
        if prefix + name in state:
            state[prefix + name] = weight.clone()


def _units(network: nn.Module, units: Iterable[str] | None) -> Iterator[tuple[nn.Module, list[_Weight]]]:
    """The modules that fetch weights, and which."""
    if units is None:
        for name, layer in network.named_modules():
            if own := _own(layer, "", name):
                yield layer, own
        return
    for unit in units:
        module = network.get_submodule(unit)
        yield module, [weight for name, layer in module.named_modules()
                       for weight in _own(layer, name, ".".join(filter(None, (unit, name))))]


def _own(layer: nn.Module, below: str, name: str) -> list[_Weight]:
    """The weights that lie directly in a layer, which is ``below`` what fetches them, and ``name`` in the network."""
    prefix = f"{name}." if name else ""
    return [(below, key, prefix + key) for key, parameter in layer._parameters.items() if parameter is not None]


def _sweep(folder: Path) -> None:
    """Removes what processes of this machine that were killed have left."""
    for place in folder.glob(f"{platform.node()}-*-*"):
        process = place.name.removeprefix(f"{platform.node()}-").partition("-")[0]
        if process.isdigit() and not _is_alive(int(process)):
            rmtree(place, ignore_errors=True)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is somebody else's
        return True
    return True
