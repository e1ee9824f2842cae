"""Top-level names of a config that are no key of a run.

A new-style config turns every name at its top level into a key, so helper variables stand among the keys:
``prompt = "a photo of sks dog"``. They are told from misspelt keys by what a helper is for: **a name that is
no key must be read by the file that sets it, or by a config that inherits it, and must not look like a key.**
A name that nothing reads has no effect, and the check says so. A name that begins with ``_`` is private and
always allowed.
"""

from types import ModuleType
from typing import Any

from diffkit.utils.config_check.faults import shown
from diffkit.utils.config_check.places import ConfigFiles
from diffkit.utils.near import did_you_mean, edit_distance, nearest


def helper_names(cfg: dict[str, Any], keys: set[str], imported: set[str]) -> list[str]:
    """Returns the top-level names that are neither keys of a run nor imported."""
    return [
        name
        for name, value in cfg.items()
        if name not in keys and name not in imported and not isinstance(value, ModuleType)
    ]


def helper_fault(name: str, value: Any, keys: set[str], files: ConfigFiles) -> str | None:
    """Returns what is wrong with a top-level name that is no key of a run, or None.

    Args:
        name: the name.
        value: what it is set to.
        keys: the keys of a run.
        files: the config and its bases; empty when the config did not come from Python files.
    """
    if name.startswith("_"):
        return None
    twin = next((key for key in sorted(keys) if edit_distance(name, key) <= (2 if len(key) > 5 else 1)), None)
    if twin is not None:
        return f'no such key (given {shown(value)}); did you mean "{twin}"?'
    if files.is_read(name):
        return None
    inherited = " any more: a base has used its value already" if _was_read(name, files) else ""
    return (
        f"has no effect (given {shown(value)}): it is no key of a run, and nothing reads it{inherited}"
        f"{_hint(name, keys) if not inherited else ''}"
    )


def _was_read(name: str, files: ConfigFiles) -> bool:
    return bool(files.readers.get(name))


def _hint(name: str, keys: set[str]) -> str:
    near = nearest(name, keys)
    return did_you_mean(name, near) if near else ""
