"""Outputs of layers, kept while a network runs."""

from collections.abc import Iterable
from types import TracebackType
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from diffkit.utils.near import did_you_mean


def missing_layers(network: nn.Module, paths: Iterable[str]) -> dict[str, str]:
    """Which of ``paths`` are no layers of ``network``, each with the end of a message that names near ones."""
    names = [name for name, _ in network.named_modules() if name]
    known = set(names)
    return {path: did_you_mean(path, names) for path in dict.fromkeys(paths) if path not in known}


class Recorder:
    """Keeps the outputs of layers inside ``with``; outside of it the network has no hooks.

    Of an output that is a tuple the first tensor is kept: the hidden state of a down block, after its downsampler.
    Layers that run twice keep the first output.

    Args:
        network: the network whose layers are recorded.
        paths: names of layers inside it.

    Attributes:
        outputs: by path, after the network has run; emptied when the next ``with`` begins.
    """

    def __init__(self, network: nn.Module, paths: Iterable[str]) -> None:
        self._layers = {path: network.get_submodule(path) for path in dict.fromkeys(paths)}
        self._handles: list[RemovableHandle] = []
        self.outputs: dict[str, Tensor] = {}

    def __enter__(self) -> "Recorder":
        self.outputs = {}
        self._handles = [layer.register_forward_hook(self._keeper(path)) for path, layer in self._layers.items()]
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def _keeper(self, path: str) -> Any:
        def keep(layer: nn.Module, inputs: Any, output: Any) -> None:
            self.outputs.setdefault(path, output[0] if isinstance(output, (tuple, list)) else output)

        return keep
