"""What a dotted name stands for, found by reading sources and following imports."""

import ast
from dataclasses import dataclass

from diffkit.utils.config_check.source import Alias, Source, find_source

STAR_BUDGET = 200  # modules searched for one name through `import *` before giving up
_LARGE = {"torch", "mmengine", "diffusers", "transformers", "peft", "accelerate"}
_DEPTH = 24  # imports followed for one name


@dataclass(frozen=True)
class Definition:
    """A class or function and the module that defines it.

    Attributes:
        source: the module.
        node: the definition.
        owner: the class when the definition is one of its methods.
    """

    source: Source
    node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    owner: "Definition | None" = None

    @property
    def name(self) -> str:
        """Its name as a user reads it: ``Class`` or ``Class.method``."""
        return f"{self.owner.name}.{self.node.name}" if self.owner else self.node.name

    @property
    def key(self) -> tuple[str, str]:
        """Tells two definitions apart."""
        return self.source.name, self.name


@dataclass(frozen=True)
class Value:
    """A name bound to an expression, such as a type alias."""

    source: Source
    node: ast.expr


@dataclass(frozen=True)
class Missing:
    """A name that is not there.

    Attributes:
        message: what is missing.
        name: the part that is not found.
        candidates: the names that could have been meant.
    """

    message: str
    name: str = ""
    candidates: tuple[str, ...] = ()


class Opaque:
    """Something that the source does not tell: made while running, or not written in Python."""


OPAQUE = Opaque()
Symbol = Definition | Value | Source | Missing | Opaque


def lookup(source: Source, name: str, _depth: int = 0) -> Symbol:
    """Returns what ``name`` stands for in a module, following imports."""
    if _depth > _DEPTH:
        return OPAQUE
    binding = source.bindings.get(name)
    if isinstance(binding, Alias) and binding != Alias(source.name, name):
        return _follow(binding, _depth)
    if isinstance(binding, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return Definition(source, binding)
    if isinstance(binding, ast.Name) and binding.id != name:
        return lookup(source, binding.id, _depth + 1)
    if binding is not None and not isinstance(binding, Alias):
        return Value(source, binding)
    found = find_source(f"{source.name}.{name}") or _search_stars(source, name)
    if found is not None:
        return found
    if source.dynamic or (source.stars and _has_unreadable_star(source)):
        return OPAQUE
    return Missing(f'"{source.name}" has no "{name}"', name, tuple(public_names(source)))


def public_names(source: Source) -> list[str]:
    """Returns the names that a module offers, those that it takes over with ``import *`` included."""
    names = source.exports or [n for n in source.bindings if not n.startswith("_")]
    for module in source.stars if source.exports is None else ():
        star = find_source(module)
        names += [] if star is None or star is source else public_names(star)
    return list(dict.fromkeys(names))


def is_near(source: Source, name: str) -> bool:
    """Returns whether a name stands for something in the module itself or in a package as small as ours.

    Following imports through torch and others would mean reading large files for little.
    """
    binding = source.bindings.get(name)
    if isinstance(binding, Alias):
        package = source.name.split(".")[0]
        return package not in _LARGE and binding.module.split(".")[0] == package
    return binding is not None


def _follow(alias: Alias, depth: int) -> Symbol:
    source = find_source(alias.module)
    if source is None:
        return OPAQUE
    return source if alias.name is None else lookup(source, alias.name, depth + 1)


def _search_stars(source: Source, name: str) -> Symbol | None:
    """Searches the modules behind ``import *`` breadth first, the ones whose name looks like it first."""
    queue, seen = list(source.stars), {source.name}
    while queue and len(seen) < STAR_BUDGET:
        queue.sort(key=lambda module: not name.lower().startswith(_tail(module)))
        module = queue.pop(0)
        if module in seen:
            continue
        seen.add(module)
        star = find_source(module)
        if star is None:
            continue
        if name in star.bindings and not name.startswith("_"):
            return lookup(star, name, 1)
        queue += star.stars
    return OPAQUE if queue else None


def _tail(module: str) -> str:
    tail = module.rpartition(".")[2]
    for prefix in ("modeling_", "configuration_", "tokenization_", "image_processing_"):
        tail = tail.removeprefix(prefix)
    return tail.replace("_", "")


def _has_unreadable_star(source: Source) -> bool:
    for module in source.stars:
        star = find_source(module)
        if star is None or star.dynamic:
            return True
    return False
