"""Whether activations are kept for the backward pass or computed again: always, never, or by the memory there is."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from diffkit.models.frozen import checkpoint_gradients

_SHARE = 0.8  # of what is free; the rest is for what operations need for themselves, and for gaps
_LATER = 4  # values for each trained weight that come after the first forward pass: gradient, two of Adam, an average


class _TooMuch(Exception):
    """Kept activations would not fit."""


class ActivationMemory:
    """Decides on gradient checkpointing.

    ``auto`` measures instead of guessing: in the first step the bytes that are kept for the backward pass are counted
    as they come. Where they pass what is free, the pass is broken off, checkpointing is switched on, and the step
    begins again with the same random numbers. Of what is free a fifth is left alone, and room for gradients, Adam's
    state and an average of the weights. Larger batches that come later are not foreseen. Where the system does not say
    what is free, it is switched on.

    Args:
        policy: True, False, or ``auto``.
    """

    def __init__(self, policy: bool | str) -> None:
        if policy not in (True, False, "auto"):
            raise ValueError(f"gradient_checkpointing is {policy!r}; allowed: True, False, 'auto'.")
        self.policy = policy
        self.decided = policy != "auto"

    def begin(self, components: Mapping[str, nn.Module]) -> None:
        """Switches checkpointing on where it is wished at any rate."""
        if self.policy is True:
            checkpoint_gradients(components)

    def run(self, components: Mapping[str, nn.Module], forward: Callable[[], Any]) -> Any:
        """Runs a forward pass; the first one with gradients decides, if nobody has.

        Args:
            components: networks by their pipeline names, ``unet`` among them.
            forward: the pass.

        Returns:
            What ``forward`` gives.
        """
        if self.decided or not torch.is_grad_enabled():
            return forward()
        self.decided = True
        values = [value for part in components.values() for value in (*part.parameters(), *part.buffers())]
        trained = sum(value.nbytes for value in values if value.requires_grad)
        free = free_memory(next(components["unet"].parameters()).device)
        budget = 0 if free is None else max(0, int(_SHARE * free) - _LATER * trained)
        random = _random_states()
        counter = _Kept(values, budget)
        try:
            with torch.autograd.graph.saved_tensors_hooks(counter.pack, _unpack):
                result = forward()
        except _TooMuch:
            result = None
        _tell(counter, free, budget)
        if result is None:
            checkpoint_gradients(components)
            _set_random_states(random)
            result = forward()
        return result


class _Kept:
    """Counts what autograd keeps, each memory once, without the weights."""

    def __init__(self, weights: list[Tensor], budget: int) -> None:
        self._seen = {value.untyped_storage().data_ptr() for value in weights}
        self.budget, self.bytes = budget, 0

    def pack(self, value: Tensor) -> Tensor:
        storage = value.untyped_storage()
        if storage.data_ptr() not in self._seen:
            self._seen.add(storage.data_ptr())
            self.bytes += storage.nbytes()
            if self.bytes > self.budget:
                raise _TooMuch
        return value


def _unpack(value: Tensor) -> Tensor:
    return value


def _tell(counter: _Kept, free: int | None, budget: int) -> None:
    if free is None:
        text = "on: the system does not say how much memory is free"
    elif counter.bytes > budget:
        text = f"on: activations of a step take more than the {_gigabytes(budget)} that are left for them"
    else:
        text = f"off: activations of a step take {_gigabytes(counter.bytes)}, {_gigabytes(budget)} are left for them"
    known = "" if free is None else f" (free: {_gigabytes(free)})"
    print_log(f"gradient_checkpointing='auto' is {text}{known}.", "current", logging.INFO)


def free_memory(device: torch.device) -> int | None:
    """Bytes that a training may still take: of the GPU, or of the machine and its control group; None if not known."""
    if device.type == "cuda":
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0] + cached)
    try:
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):
        return None
    return min(free, _group_memory(free))


def _group_memory(otherwise: int) -> int:
    """Bytes that the control group leaves, where it has a limit."""
    group = Path("/sys/fs/cgroup")
    try:
        limit, used = ((group / name).read_text(encoding="utf-8").strip() for name in ("memory.max", "memory.current"))
        return max(0, int(limit) - int(used))
    except (OSError, ValueError):  # no such group, or the limit is "max"
        return otherwise


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.2f} GB"


def _random_states() -> tuple[Tensor, list[Tensor]]:
    return torch.get_rng_state(), torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []


def _set_random_states(states: tuple[Tensor, list[Tensor]]) -> None:
    torch.set_rng_state(states[0])
    if states[1]:
        torch.cuda.set_rng_state_all(states[1])
