"""How many bytes of tensors are alive at once: counted, so the same in each run, whatever else the program holds."""

import weakref
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class PeakBytes(TorchDispatchMode):
    """Counts the memory of tensors that are made inside ``with``, for as long as they live.

    Counted are the storages of all results of operations, those of the backward pass and of the optimizer among them,
    each once however many tensors show it. What an operation needs for itself, and the memory that an allocator keeps
    back, is not.

    Attributes:
        alive: bytes that are alive now.
        peak: the most that were alive at once.
    """

    def __init__(self) -> None:
        super().__init__()
        self.alive = self.peak = 0
        self._known: dict[int, Any] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        given = {id(tensor.untyped_storage()) for tensor in _tensors((args, kwargs))}
        for tensor in _tensors(result):
            storage = tensor.untyped_storage()
            if id(storage) not in given:
                self._count(storage)
        return result

    def _count(self, storage: torch.UntypedStorage) -> None:
        place, size = id(storage), storage.nbytes()
        if place in self._known:
            return
        self._known[place] = weakref.finalize(storage, self._forget, place, size)
        self._known[place].atexit = False
        self.alive += size
        self.peak = max(self.peak, self.alive)

    def _forget(self, place: int, size: int) -> None:
        self._known.pop(place, None)
        self.alive -= size


def _tensors(value: Any) -> list[torch.Tensor]:
    return [leaf for leaf in tree_leaves(value) if isinstance(leaf, torch.Tensor)]
