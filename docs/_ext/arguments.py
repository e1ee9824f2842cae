"""What the docstrings of registered classes say of their arguments; the reference is made of it, and tested by it."""

import inspect
import re
from collections.abc import Callable
from typing import Any

_FLAGS = re.DOTALL | re.MULTILINE
_SECTION = re.compile(r"^Args:\n(.*?)(?=^\S|\Z)", _FLAGS)
_NAME = r"\*{0,2}\w+"
_ENTRY = re.compile(rf"^ {{4}}({_NAME}(?:, {_NAME})*)(?: \([^)]*\))?:[ \n](.*?)(?=^ {{4}}\S|\Z)", _FLAGS)


def registered(registry: str) -> list[Callable[..., Any]]:
    """What diffkit has in ``diffkit.registry.<registry>``, in the order of registration."""
    from diffkit import registry as registries

    root = getattr(registries, registry)
    root.import_from_location()
    return [value for value in dict.fromkeys(root.module_dict.values()) if value.__module__.startswith("diffkit.")]


def meanings(value: Callable[..., Any]) -> dict[str, str]:
    """The argument's name -> what ``Args:`` of the own docstring says; one of a base class does not count."""
    found: dict[str, str] = {}
    section = _SECTION.search(inspect.cleandoc(value.__doc__ or ""))
    for names, text in _ENTRY.findall(section[1] if section else ""):
        found |= {name.strip(" *"): " ".join(text.split()) for name in names.split(",")}
    return found


def faults(value: Callable[..., Any]) -> list[str]:
    """What the reference would lack for a class or function: words on itself, on an argument, or a type."""
    about = inspect.cleandoc(value.__doc__ or "").partition("Args:")[0].strip()
    told = meanings(value)
    parameters = inspect.signature(value).parameters
    return [
        *([] if about else ["has no docstring"]),
        *(f"says nothing of {name}" for name in parameters if not told.get(name)),
        *(f"has no type for {name}" for name, each in parameters.items() if each.annotation is each.empty),
        *(f"speaks of {name}, which is no argument" for name in told if name not in parameters)]
