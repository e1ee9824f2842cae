"""How much room a training's checkpoints will take."""

from typing import Any

from diffkit.engine.checkpoint import list_steps
from diffkit.engine.errors import DiskFullError
from diffkit.engine.files import folder_size, format_bytes, free_bytes
from diffkit.engine.resume_checks import once

_MENTION = 55  # bytes around each mention of a tensor's name, in the header of a file or in JSON


def state_bytes(runner: Any) -> int:
    """Returns the bytes of the tensors of the training's state: weights, averages, and what the optimizer keeps."""
    trained = runner.bare_model.trainable_parameters().values()
    weights = sum(value.nbytes for value in trained)
    state = runner.optim_wrapper.optimizer.state
    kept = sum(value.nbytes for entry in state.values() for value in entry.values() if hasattr(value, "nbytes"))
    return weights * (1 + _averages(runner)) + (kept or 2 * weights)  # most optimizers keep two values of each weight


def checkpoint_bytes(runner: Any) -> int:
    """Returns about how many bytes one checkpoint takes.

    Where this training has written one, it tells best. Else that follows from the state, and from what the model says
    that it will export.
    """
    steps = list_steps(runner.work_dir)
    if steps and runner.iter > 0:
        return folder_size(steps[-1][1])
    return state_bytes(runner) + _text_bytes(runner) + int(runner.bare_model.export_bytes())


def _text_bytes(runner: Any) -> int:
    """Names, settings and the config: they count where the tensors are small."""
    mentions = 9 + 3 * _averages(runner)  # once for a weight, twice for each tensor that is kept with it, twice more
    names = sum(len(name) + _MENTION for name in runner.bare_model.trainable_parameters())
    return mentions * names + 3 * len(once(runner, "config_text", lambda: runner.cfg.pretty_text))


def _averages(runner: Any) -> int:
    return sum(hasattr(hook, "swapped") and getattr(hook, "stores_weights", True) for hook in runner.hooks)


def require_room(runner: Any) -> None:
    """Raises a DiskFullError if the next checkpoint surely does not fit.

    The first one needs at least the state; each later one as much as the one before it in this run.
    """
    written = getattr(runner, "written_bytes", 0)
    needed, free = written or state_bytes(runner), free_bytes(runner.work_dir)
    if free < needed:
        raise DiskFullError(
            f"no room for a checkpoint in {runner.work_dir}: {'it' if written else 'the state of the training alone'} "
            f"needs {format_bytes(needed)} ({needed} bytes), {format_bytes(free)} ({free} bytes) are free; earlier "
            "checkpoints are untouched, make room and resume"
        )
