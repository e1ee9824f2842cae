"""The state of optimizer, schedules and half done accumulations, by the names of the parameters."""

from collections.abc import Collection
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import all_gather_object, get_rank, get_world_size

from diffkit.engine.errors import ResumeError, check_keys
from diffkit.engine.optim import OptimWrapper
from diffkit.engine.state_io import load_nest, save_nest
from diffkit.utils.sharded import is_sharded, placed_like

_PROGRESS = ("last_step", "_global_step", "_last_value")
_GRADIENTS = "gradients_rank"

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


def load_optimizer_state(
    wrapper: OptimWrapper, saved: dict[str, Any], names: Names, changed: Collection[str] = ()
) -> int:
    """Puts back what ``optimizer_state`` gave.

    Args:
        wrapper: takes it.
        saved: what ``optimizer_state`` gave.
        names: of the wrapper's parameters.
        changed: options of the optimizer (``lr``, ``betas`` …) that the user has changed since: they are as the config
            of now says. An option that a schedule moves keeps its place in the schedule.

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
    fresh = wrapper.optimizer.param_groups
    groups = [
        group | _options(group, now, changed) | {"params": [order[name] for name in group["params"]]}
        for group, now in zip(saved["param_groups"], fresh, strict=True)
    ]
    own_values = dict(zip(chain(*own), wrapper.parameters(), strict=True))
    state = {order[name]: _placed(entry, own_values[name]) for name, entry in saved["state"].items()}
    wrapper.optimizer.load_state_dict({"state": state, "param_groups": groups})
    _lay_out_alike(wrapper.optimizer.state)
    if wrapper.base_param_settings is not None and saved["base"] is not None:
        wrapper.base_param_settings.update(saved["base"])
    wrapper.load_counters(saved["counters"])
    return sum(isinstance(value, torch.Tensor) for entry in state.values() for value in entry.values())


def _lay_out_alike(states: Any) -> None:
    """Gives values of weights the memory layout of their weights: fused optimizers read both side by side."""
    for parameter, state in states.items():
        for name, value in state.items():
            alike = isinstance(value, torch.Tensor) and value.shape == parameter.shape
            if alike and value.stride() != parameter.stride():
                state[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)


def _placed(entry: dict[str, Any], parameter: torch.Tensor) -> dict[str, Any]:
    """The state of one parameter; of a sharded one what this process keeps."""
    return {key: placed_like(value, parameter) if is_sharded(parameter) and isinstance(value, torch.Tensor) else value
            for key, value in entry.items()}


def _options(group: dict[str, Any], now: dict[str, Any], changed: Collection[str]) -> dict[str, Any]:
    """The options of one group that follow the config of now."""
    options: dict[str, Any] = {}
    for key in (key for key in changed if key in now):
        initial = f"initial_{key}"
        if initial not in group or initial not in now:
            options[key] = now[key]
        elif group[initial] != now[initial]:
            share = group[key] / group[initial] if group[initial] else 1.0
            options |= {key: share * now[initial], initial: now[initial]}
    return options


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
    gathered: list[list[Any]] = all_gather_object(own)
    return [each for each in gathered if each]  # of a sharded training the first process has all


def save_gradients(folder: Path, order: list[str], gathered: list[list[Any]]) -> None:
    """Writes what ``gather_gradients`` gave, for each process; one that is not finite by its name only.

    Args:
        folder: takes the files.
        order: names of the optimizer's parameters.
        gathered: the gradients.
    """
    for rank, gradients in enumerate(gathered):
        held = {name: value for name, value in zip(order, gradients, strict=True) if value is not None}
        finite = {name: value for name, value in held.items() if value.isfinite().all()}
        nest = {"finite": finite, "not_finite": [name for name in held if name not in finite]}
        save_nest(nest, folder / f"{_GRADIENTS}{rank}")


def load_gradients(wrapper: OptimWrapper, folder: Path, names: Names) -> int:
    """Puts this process's gradients back, in the parameters' memory layout.

    Where the checkpoint is of another number of processes, or of a training that was sharded or is so now, each gets
    the mean over those of then: processes take the mean of their gradients before a step, so that comes to the same.

    Returns:
        How many there are.
    """
    saved = [load_nest(path.with_suffix("")) for path in sorted(folder.glob(f"{_GRADIENTS}*.json"))]
    if len(saved) == get_world_size() and not any(map(is_sharded, wrapper.parameters())):
        saved = [load_nest(folder / f"{_GRADIENTS}{get_rank()}")]
    count = 0
    for parameter in wrapper.parameters():
        name = names[id(parameter)]
        held = [nest["finite"][name] for nest in saved if name in nest["finite"]]
        if any(name in nest["not_finite"] for nest in saved):
            parameter.grad = torch.full_like(parameter, torch.nan)
        elif held:
            mean = held[0] if len(saved) == 1 else torch.stack(held).sum(0) / len(saved)
            parameter.grad = torch.empty_like(parameter).copy_(placed_like(mean, parameter))
        count += parameter.grad is not None
    return count


def _base_settings(wrapper: OptimWrapper) -> dict[str, Any] | None:
    settings = wrapper.base_param_settings
    return None if settings is None else {key: value for key, value in settings.items() if key != "params"}
