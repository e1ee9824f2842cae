"""The classes and functions that a new-style config imports: MMEngine leaves them unimported until they are built."""

from typing import Any

from mmengine.config.lazy import LazyAttr, LazyObject

from diffkit.utils.config_check.faults import shown


def is_imported(value: Any) -> bool:
    """Returns whether a value is a class or function that a config imports."""
    return isinstance(value, LazyObject | LazyAttr)


def dotted_name(value: LazyObject | LazyAttr) -> str:
    """Returns the full name of an imported class or function."""
    if isinstance(value, LazyAttr):
        return f"{dotted_name(value.source)}.{value.name}"
    imported = value._imported
    return f"{value.module}.{imported}" if imported is not None else value.module


def shown_type(value: Any) -> str:
    """Returns a value, or the name of an imported class, as one short line."""
    return dotted_name(value) if is_imported(value) else shown(value)
