"""Every class that a config can name, and each of its arguments, has a description."""

import importlib.util
import inspect
import re
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from diffkit import registry
from tests.docs.pages import ROOT


def _arguments() -> ModuleType:
    """``docs/_ext/arguments.py``, which the documentation is built with."""
    spec = importlib.util.spec_from_file_location("docs_arguments", ROOT / "docs/_ext/arguments.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


ARGUMENTS = _arguments()
REGISTRIES = {name: found for name in vars(registry) if name.isupper() and name != "SCOPE"
              if (found := ARGUMENTS.registered(name))}
REGISTERED = [value for found in REGISTRIES.values() for value in found]


def test_the_reference_has_every_registry() -> None:
    text = (ROOT / "docs/reference.md").read_text(encoding="utf-8")
    assert set(re.findall(r"```\{registered\} (\w+)", text)) == set(REGISTRIES)


@pytest.mark.parametrize("value", REGISTERED, ids=lambda value: value.__name__)
def test_a_class_and_its_arguments_are_described(value: Callable[..., Any]) -> None:
    assert ARGUMENTS.faults(value) == []


class Described:
    """A part.

    Args:
        first, second: two at once.
        third (int): what it is,
            in two lines.
        **options: the rest.

    Attributes:
        fourth: no argument.
    """

    def __init__(self, first: int, second: int, third: int = 3, **options: int) -> None: ...


class Silent(Described):
    def __init__(self, first: int, fifth=None) -> None: ...  # type: ignore[no-untyped-def]


class Outdated:
    """A part that lost an argument.

    Args:
        gone: it was there.
    """

    def __init__(self) -> None: ...


def test_what_is_missing_is_found() -> None:
    assert ARGUMENTS.faults(Described) == []
    assert ARGUMENTS.meanings(Described)["third"] == "what it is, in two lines."
    assert "fourth" not in ARGUMENTS.meanings(Described)
    assert ARGUMENTS.faults(Silent) == [
        "has no docstring", "says nothing of first", "says nothing of fifth", "has no type for fifth"]
    assert ARGUMENTS.faults(Outdated) == ["speaks of gone, which is no argument"]
    assert inspect.signature(Described).parameters["options"].kind is inspect.Parameter.VAR_KEYWORD
