"""``--cfg-options``: puts them into a config, and refuses keys that are not there."""

from collections.abc import Callable, Collection
from typing import Any

from mmengine.config import Config, ConfigDict

from diffkit.utils.config_check.faults import Fault, shown
from diffkit.utils.config_check.loading import lazy_types
from diffkit.utils.near import did_you_mean

SOURCE = "--cfg-options"


def apply_options(cfg: Config, options: dict[str, Any], arguments: Callable[[str], Collection[str]]) -> list[Fault]:
    """Merges the options whose place exists, and returns a fault for each of the others.

    A key may be new where an object with a ``type`` takes it as an argument.

    Args:
        cfg: changed in place.
        options: values by dotted key.
        arguments: gives the arguments that the dict at a key path takes; empty where anything goes.
    """
    faults = []
    with lazy_types():
        for key, value in options.items():
            message = _problem(cfg._cfg_dict, key.split("."), arguments)
            if message:
                faults.append(Fault(key, f"{message} (given {shown(value)})", SOURCE, kind="key"))
            else:
                cfg.merge_from_dict({key: value})
    return faults


def _problem(node: Any, names: list[str], arguments: Callable[[str], Collection[str]]) -> str:
    """Returns why a key path leads nowhere, or an empty text."""
    for i, name in enumerate(names):
        where = ".".join(names[:i])
        last = i == len(names) - 1
        if isinstance(node, dict):
            takes = arguments(where)
            if name not in node and not (name in takes and (last or not where)):
                known = [*(str(k) for k in dict.keys(node)), *takes]
                return f'there is no "{name}" in {where or "the config"}{did_you_mean(name, known)}'
            node = dict.get(node, name, ConfigDict())
        elif isinstance(node, list | tuple):
            if not name.isdigit() or int(name) >= len(node):
                return f'{where} is a list of {len(node)}: "{name}" is no index of it'
            node = node[int(name)]
        else:
            return f"{where} is {shown(node)}, which has no keys: give {where} a value as a whole"
    return ""
