"""``--cfg-options``: puts them into a config, and refuses keys that are not there."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mmengine.config import Config, ConfigDict

from diffkit.utils.config_check.faults import Fault, shown
from diffkit.utils.config_check.loading import lazy_types
from diffkit.utils.near import did_you_mean

SOURCE = "--cfg-options"


@dataclass(frozen=True)
class Room:
    """What may be set in one dict of a config, beside what is there.

    Attributes:
        names: the arguments that it takes, and of each whether it can be a dict.
        is_open: whether it may take any other key.
        is_closed: whether a key that is there may only be set if it is one of ``names``.
        of_objects: whether it may take more objects, each as a dict with its type.
    """

    names: Mapping[str, bool]
    is_open: bool = False
    is_closed: bool = False
    of_objects: bool = False


def apply_options(cfg: Config, options: dict[str, Any], room_at: Callable[[str], Room]) -> list[Fault]:
    """Merges the options whose place exists or can be made, and returns a fault for each of the others.

    A key may be new where an object takes it as an argument; the dicts on the way to it are made.

    Args:
        cfg: changed in place.
        options: values by dotted key.
        room_at: gives what may be set in the dict at a key path.
    """
    faults = []
    with lazy_types():
        for key, value in options.items():
            names = key.split(".")
            message = _problem(cfg._cfg_dict, names, value, room_at)
            if message:
                faults.append(Fault(key, f"{message} (given {shown(value)})", SOURCE, kind="key"))
            else:
                _make_way(cfg._cfg_dict, names)
                cfg.merge_from_dict({key: value})
    return faults


def set_by(options: Mapping[str, Any], key: str) -> str:
    """Returns the option that sets a key, by itself or with a dict around it; empty when none does."""
    for option, value in options.items():
        if option == key:
            return option
        if key.startswith(f"{option}."):
            inside = value
            for name in key.removeprefix(f"{option}.").split("."):
                inside = inside.get(name) if isinstance(inside, dict) else None
            if inside is not None:
                return option
    return ""


def _problem(node: Any, names: list[str], value: Any, room_at: Callable[[str], Room]) -> str:
    """Returns why a key path leads nowhere, or an empty text."""
    for i, name in enumerate(names):
        where = ".".join(names[:i])
        given = [value] if i == len(names) - 1 else []
        if isinstance(node, list | tuple):
            if not name.isdigit() or int(name) >= len(node):
                return f'{where} is a list of {len(node)}: "{name}" is no index of it'
            node = node[int(name)]
        elif isinstance(node, dict):
            message = _missing(node, name, where, given, room_at)
            if message:
                return message
            node = dict.get(node, name)
            node = ConfigDict() if node is None else node
        else:
            return f"{where} is {shown(node)}, which has no keys: give {where} a value as a whole"
    return ""


def _missing(node: dict[str, Any], name: str, where: str, given: list[Any], room_at: Callable[[str], Room]) -> str:
    """Returns why a name of a dict can not be set, to the value that is given for it or else to a dict."""
    is_there = dict.get(node, name) is not None or (bool(given) and name in node)
    room = None if is_there and where else room_at(where)
    if room is None or (is_there and not room.is_closed):
        return ""
    if name in room.names:
        if given or is_there or (room.names[name] and not name.isdigit()):
            return ""
        return f"{where}.{name} is not set and can be no dict: it takes a plain value"
    if room.is_open and not name.isdigit():
        return ""
    if room.of_objects and given and isinstance(given[0], dict) and "type" in given[0]:
        return ""
    known = room.names if room.is_closed else [*(str(k) for k in dict.keys(node)), *room.names]
    return f'there is no "{name}" in {where or "the config"}{did_you_mean(name, known)}'


def _make_way(node: Any, names: list[str]) -> None:
    """Takes away a None that stands where a dict is going to be made."""
    for name in names[:-1]:
        if isinstance(node, dict):
            if name in node and dict.get(node, name) is None:
                dict.pop(node, name)
                return
            node = dict.get(node, name)
        else:
            node = node[int(name)] if isinstance(node, list | tuple) else None
