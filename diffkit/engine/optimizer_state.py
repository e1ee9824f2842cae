"""The state of optimizer, schedules and half done accumulations, by the names of the parameters."""

from itertools import chain
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import get_rank, get_world_size

from diffkit.engine.errors import ResumeError, check_keys
from diffkit.engine.optim import OptimWrapper
from diffkit.engine.state_io import load_tensors, save_tensors

_PROGRESS = ("last_step", "_global_step", "_last_value", "base_values")

Names = dict[int, str]  # full name of each parameter, by its ``id``


def optimizer_state(wrapper: OptimWrapper, names: Names) -> dict[str, Any]:
    """Returns the state of the optimizer and its wrapper, by parameter name."""
    optimizer = wrapper.optimizer
    return {
        "state": {
            names[id(parameter)]: dict(optimizer.state[parameter])
            for parameter in wrapper.parameters()
            if parameter in optimizer.state
        },
        "param_groups": [
            group | {"params": [names[id(parameter)] for parameter in group["params"]]}
            for group in optimizer.param_groups
        ],
        "base": _base_settings(wrapper),
        "counters": wrapper.counters(),
    }


def load_optimizer_state(wrapper: OptimWrapper, saved: dict[str, Any], names: Names) -> int:
    """Puts back what ``optimizer_state`` gave.

    Returns:
        The number of tensors.

    Raises:
        ResumeError: the parameters, or their groups, are not those of the checkpoint.
    """
    own = [[names[id(parameter)] for parameter in group["params"]] for group in wrapper.optimizer.param_groups]
    given = [list(group["params"]) for group in saved["param_groups"]]
    check_keys("the optimizer's parameters", list(chain(*own)), list(chain(*given)))
    if own != given:
        raise ResumeError(
            f"optim_wrapper.paramwise_cfg makes groups of {list(map(len, own))} parameters, the checkpoint "
            f"has groups of {list(map(len, given))}"
        )
    order = {name: number for number, name in enumerate(chain(*own))}
    groups = [group | {"params": [order[name] for name in group["params"]]} for group in saved["param_groups"]]
    state = {order[name]: value for name, value in saved["state"].items()}
    wrapper.optimizer.load_state_dict({"state": state, "param_groups": groups})
    if wrapper.base_param_settings is not None and saved["base"] is not None:
        wrapper.base_param_settings.update(saved["base"])
    wrapper.load_counters(saved["counters"])
    return sum(isinstance(value, torch.Tensor) for entry in state.values() for value in entry.values())


def schedule_states(schedules: list[Any] | None) -> list[dict[str, Any]]:
    """Returns the progress of each schedule of a parameter."""
    keys = (*_PROGRESS, "begin", "end")
    return [
        {"type": type(schedule).__name__, **{key: getattr(schedule, key) for key in keys}}
        for schedule in schedules or []
    ]


def load_schedule_states(schedules: list[Any] | None, saved: list[dict[str, Any]]) -> list[str]:
    """Puts the progress back; begin and end stay as the config of now says.

    Returns:
        A remark on each schedule whose begin or end differs from the checkpoint.

    Raises:
        ResumeError: there are other schedules than in the checkpoint.
    """
    own, given = [type(schedule).__name__ for schedule in schedules or []], [state["type"] for state in saved]
    if own != given:
        raise ResumeError(f"param_scheduler is {own or 'none'}, in the checkpoint {given or 'none'}")
    remarks = []
    for schedule, state in zip(schedules or [], saved, strict=True):
        for key in _PROGRESS:
            setattr(schedule, key, state[key])
        if (schedule.begin, schedule.end) != (state["begin"], state["end"]):
            remarks.append(
                f"{state['type']} now goes from optimizer step {schedule.begin} to {schedule.end}, "
                f"before from {state['begin']} to {state['end']}"
            )
    return remarks


def gather_gradients(wrapper: OptimWrapper) -> list[list[Any]]:
    """Returns the gradients of an accumulation that is not complete, by rank; all processes must call it."""
    own = [None if parameter.grad is None else parameter.grad.detach().cpu() for parameter in wrapper.parameters()]
    if get_world_size() == 1:
        return [own]
    gathered: list[Any] = [None] * get_world_size()
    torch.distributed.all_gather_object(gathered, own)
    return gathered


def save_gradients(wrapper: OptimWrapper, folder: Path, names: Names, gathered: list[list[Any]]) -> None:
    """Writes what ``gather_gradients`` gave, one file for each process."""
    order = [names[id(parameter)] for parameter in wrapper.parameters()]
    for rank, gradients in enumerate(gathered):
        held = {name: value for name, value in zip(order, gradients, strict=True) if value is not None}
        save_tensors(held, _gradient_file(folder, rank))


def load_gradients(wrapper: OptimWrapper, folder: Path, names: Names) -> int:
    """Puts this process's gradients back, in the parameters' memory layout; returns how many there are."""
    path = _gradient_file(folder, get_rank())
    held = load_tensors(path) if path.exists() else {}
    for parameter in wrapper.parameters():
        gradient = held.get(names[id(parameter)])
        if gradient is not None:
            parameter.grad = torch.empty_like(parameter).copy_(gradient)
    return len(held)


def _gradient_file(folder: Path, rank: int) -> Path:
    return folder / f"gradients_rank{rank}.safetensors"


def _base_settings(wrapper: OptimWrapper) -> dict[str, Any] | None:
    settings = wrapper.base_param_settings
    return None if settings is None else {key: value for key, value in settings.items() if key != "params"}
