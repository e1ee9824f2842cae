"""How much room a training's checkpoints will take."""

from typing import Any

from diffkit.engine.checkpoint import list_steps
from diffkit.engine.errors import DiskFullError
from diffkit.engine.files import folder_size, format_bytes, free_bytes

_ADAPTER_SHARE = 0.1  # below this share of trained weights the exports hold adapters, above it whole networks


def state_bytes(runner: Any) -> int:
    """Returns the bytes of the training's state: weights, averages, and what the optimizer keeps."""
    weights = _trained_bytes(runner)
    state = runner.optim_wrapper.optimizer.state
    kept = sum(value.nbytes for entry in state.values() for value in entry.values() if hasattr(value, "nbytes"))
    averages = sum(hasattr(hook, "swapped") for hook in runner.hooks)
    return weights * (1 + averages) + (kept or 2 * weights)


def checkpoint_bytes(runner: Any) -> int:
    """Returns about how many bytes one checkpoint takes, exports included; the newest one tells best."""
    steps = list_steps(runner.work_dir)
    if steps:
        return folder_size(steps[-1][1])
    everything = sum(parameter.nbytes for parameter in runner.bare_model.parameters())
    weights = _trained_bytes(runner)
    exports = 2 * weights if weights < _ADAPTER_SHARE * everything else everything
    return state_bytes(runner) + exports


def require_room(runner: Any) -> None:
    """Raises a DiskFullError if the next checkpoint surely does not fit."""
    needed, free = state_bytes(runner), free_bytes(runner.work_dir)
    if free < needed:
        raise DiskFullError(
            f"no room for a checkpoint in {runner.work_dir}: the state of the training alone needs "
            f"{format_bytes(needed)} ({needed} bytes), {format_bytes(free)} ({free} bytes) are free; earlier "
            "checkpoints are untouched, make room and resume"
        )


def _trained_bytes(runner: Any) -> int:
    return sum(value.nbytes for value in runner.bare_model.trainable_parameters().values())
