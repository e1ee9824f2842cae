"""What the next step of a training depends on: gathered for a checkpoint, and put back.

Frozen weights are not part of it: they are named by a content hash, which is checked. Random generators are not
either: each step seeds them (see ``diffkit.engine.seeding``). The position of the data follows from the step.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dist import get_rank, get_world_size
from mmengine.logging import HistoryBuffer, MessageHub

from diffkit.engine.optim import OptimWrapper
from diffkit.engine.state_io import load_nest, load_tensors, read_json, save_nest, save_tensors, write_json

STATE = "state"
_HISTORY = 1000  # values of each logged scalar that are kept: log lines are means over a window of them


class ResumeError(ValueError):
    """A checkpoint does not fit the training that should go on from it."""


def optimizer_state(wrapper: OptimWrapper, names: dict[int, str]) -> dict[str, Any]:
    """Returns the optimizer's state by parameter name.

    Args:
        wrapper: holds the optimizer.
        names: full name of each parameter, by ``id``.
    """
    groups = wrapper.optimizer.param_groups
    state = {names[id(parameter)]: dict(wrapper.optimizer.state[parameter])
             for group in groups for parameter in group["params"] if parameter in wrapper.optimizer.state}
    settings = [{key: value for key, value in group.items() if key != "params"} for group in groups]
    for group, setting in zip(groups, settings, strict=True):
        setting["params"] = [names[id(parameter)] for parameter in group["params"]]
    return {"state": state, "param_groups": settings, "base": _base_settings(wrapper), "counters": wrapper.counters()}


def load_optimizer_state(wrapper: OptimWrapper, saved: dict[str, Any], names: dict[int, str]) -> int:
    """Puts back what ``optimizer_state`` gave; returns the number of tensors.

    Raises:
        ResumeError: other parameters, or another grouping of them, than in the checkpoint.
    """
    groups = wrapper.optimizer.param_groups
    own = [[names[id(parameter)] for parameter in group["params"]] for group in groups]
    given = [list(group["params"]) for group in saved["param_groups"]]
    if own != given:
        raise ResumeError(_difference("the optimizer's parameters", sum(own, []), sum(given, [])))
    order = {name: number for number, name in enumerate(sum(own, []))}
    numbered = [group | {"params": [order[name] for name in group["params"]]} for group in saved["param_groups"]]
    state = {order[name]: value for name, value in saved["state"].items()}
    wrapper.optimizer.load_state_dict({"state": state, "param_groups": numbered})
    if saved["base"] is not None and wrapper.base_param_settings is not None:
        wrapper.base_param_settings.update(saved["base"])
    wrapper.load_counters(saved["counters"])
    return sum(isinstance(value, torch.Tensor) for entry in state.values() for value in entry.values())


def scheduler_states(schedulers: list[Any] | None) -> list[dict[str, Any]]:
    """Returns the progress of each schedule of a parameter."""
    return [{"type": type(scheduler).__name__, **{key: getattr(scheduler, key) for key in _PROGRESS}}
            for scheduler in schedulers or []]


_PROGRESS = ("last_step", "_global_step", "_last_value", "base_values", "begin", "end")


def load_scheduler_states(schedulers: list[Any] | None, saved: list[dict[str, Any]]) -> list[str]:
    """Puts the progress back; begin and end stay as the config of now says. Returns remarks on what differs.

    Raises:
        ResumeError: other schedules than in the checkpoint.
    """
    own = [type(scheduler).__name__ for scheduler in schedulers or []]
    if own != [state["type"] for state in saved]:
        raise ResumeError(f"param_scheduler is {own or 'none'}, in the checkpoint "
                          f"{[state['type'] for state in saved] or 'none'}")
    remarks = []
    for scheduler, state in zip(schedulers or [], saved, strict=True):
        for key in _PROGRESS[:4]:
            setattr(scheduler, key, state[key])
        if (scheduler.begin, scheduler.end) != (state["begin"], state["end"]):
            remarks.append(f"{state['type']} now goes from optimizer step {scheduler.begin} to {scheduler.end} "
                           f"(before: {state['begin']} to {state['end']})")
    return remarks


def log_history(hub: MessageHub) -> dict[str, torch.Tensor]:
    """Returns the last values of the training's scalars, as float64 [2, n]: value and count."""
    history = {}
    for name, buffer in hub.log_scalars.items():
        if name.startswith("train/"):
            values, counts = buffer.data
            history[name] = torch.tensor(np.stack([values[-_HISTORY:], counts[-_HISTORY:]]), dtype=torch.float64)
    return history


def load_log_history(hub: MessageHub, history: dict[str, torch.Tensor]) -> None:
    """Puts the last values back, so that the next log line is the mean that it would have been."""
    for name, table in history.items():
        values, counts = table.numpy()
        hub.log_scalars[name] = HistoryBuffer(list(values), [int(count) for count in counts])


def save_gradients(wrapper: OptimWrapper, folder: Path, names: dict[int, str], gathered: list[list[Any]]) -> None:
    """Writes the gradients of an accumulation that is not complete, one file for each process."""
    order = [names[id(parameter)] for group in wrapper.optimizer.param_groups for parameter in group["params"]]
    for rank, gradients in enumerate(gathered):
        held = {name: value for name, value in zip(order, gradients, strict=True) if value is not None}
        save_tensors(held, folder / f"gradients_rank{rank}.safetensors")


def load_gradients(wrapper: OptimWrapper, folder: Path, names: dict[int, str]) -> bool:
    """Puts this process's gradients back; returns whether there were any."""
    path = folder / f"gradients_rank{get_rank()}.safetensors"
    if not path.exists():
        return False
    held = load_tensors(path)
    for group in wrapper.optimizer.param_groups:
        for parameter in group["params"]:
            gradient = held.pop(names[id(parameter)], None)
            parameter.grad = None if gradient is None else torch.empty_like(parameter).copy_(gradient)
    if held:
        raise ResumeError(f"gradients of unknown parameters in the checkpoint: {', '.join(sorted(held)[:3])}")
    return True


def check_keys(what: str, own: set[str] | dict[str, Any], given: set[str] | dict[str, Any]) -> None:
    """Raises a ResumeError that names the difference of two sets of keys, if there is one."""
    if set(own) != set(given):
        raise ResumeError(_difference(what, list(own), list(given)))


def _difference(what: str, own: list[str], given: list[str]) -> str:
    missing, extra = sorted(set(own) - set(given)), sorted(set(given) - set(own))
    parts = [f"{len(names)} {label} (first: {', '.join(names[:3])})"
             for names, label in ((missing, "missing in the checkpoint"), (extra, "only in the checkpoint")) if names]
    return f"{what} do not fit the checkpoint: {'; '.join(parts) or 'another order'}"


def _base_settings(wrapper: OptimWrapper) -> dict[str, Any] | None:
    if wrapper.base_param_settings is None:
        return None
    return {key: value for key, value in wrapper.base_param_settings.items() if key != "params"}


def gather_gradients(wrapper: OptimWrapper) -> list[list[Any]]:
    """Returns the gradients of all processes, by rank; every process must call it."""
    own = [None if gradient is None else gradient.detach().cpu() for gradient in wrapper.gradients()]
    if get_world_size() == 1:
        return [own]
    gathered: list[Any] = [None] * get_world_size()
    torch.distributed.all_gather_object(gathered, own)
    return gathered


__all__ = ["STATE", "ResumeError", "check_keys", "gather_gradients", "load_gradients", "load_log_history", "load_nest",
           "load_optimizer_state", "load_scheduler_states", "load_tensors", "log_history", "optimizer_state",
           "read_json", "save_gradients", "save_nest", "save_tensors", "scheduler_states", "write_json"]
