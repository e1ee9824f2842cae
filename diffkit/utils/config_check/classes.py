"""Classes as text: the order of their bases, and where a method comes from."""

import ast
from collections.abc import Iterator
from functools import lru_cache

from diffkit.utils.config_check.source import Source
from diffkit.utils.config_check.symbols import OPAQUE, Definition, Opaque, Symbol, lookup

PLAIN_BASES = frozenset({"object", "ABC", "Generic", "Protocol", "Hashable", "Sized"})  # they take no arguments

Base = Definition | Opaque


class Mro:
    """A class and its bases in the order in which Python searches them (C3).

    The bases are read when they are asked for: mostly the class itself says what is wanted. A base that cannot be
    read stands as OPAQUE.

    Args:
        cls: the class.
        start: how many of the classes are left out at the front.
    """

    def __init__(self, cls: Definition, start: int = 0) -> None:
        self.cls, self.start = cls, start

    def __iter__(self) -> Iterator[Base]:
        if self.start == 0:
            yield self.cls
        yield from _linearize(self.cls, frozenset())[max(self.start, 1) :]

    def after(self, index: int) -> "Mro":
        """Returns the classes behind the one at ``index``: what ``super()`` means in that one."""
        return Mro(self.cls, self.start + index + 1)


def linearize(cls: Definition) -> Mro:
    """Returns the class and its bases in the order in which Python searches them."""
    return Mro(cls)


def find_method(cls: Definition, name: str) -> Definition | None:
    """Returns the method as the class sees it, or None."""
    for base in linearize(cls):
        if isinstance(base, Opaque):
            return None
        for node in base.node.body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name:
                return Definition(base.source, node, owner=cls)
    return None


def method_names(cls: Definition) -> list[str]:
    """Returns the public methods of the class and of its readable bases."""
    bases = [base for base in linearize(cls) if isinstance(base, Definition)]
    return [
        node.name
        for base in bases
        for node in base.node.body
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
    ]


def base_names(node: ast.ClassDef) -> list[str]:
    """Returns the last part of each base as written: ``Generic[T]`` is ``Generic``."""
    return [_plain_name(base) for base in node.bases]


def decorator_names(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    """Returns the last part of each decorator's name: ``@x.register_module()`` is ``register_module``."""
    return [_plain_name(d.func if isinstance(d, ast.Call) else d) for d in node.decorator_list]


def resolve_expression(source: Source, node: ast.expr) -> Symbol:
    """Returns what ``name`` or ``module.name`` stands for in a module."""
    if isinstance(node, ast.Name):
        return lookup(source, node.id)
    if isinstance(node, ast.Attribute):
        owner = resolve_expression(source, node.value)
        return lookup(owner, node.attr) if isinstance(owner, Source) else OPAQUE
    return OPAQUE


def forget_bases() -> None:
    """Lets go of the orders of bases that were found."""
    _linearize.cache_clear()


@lru_cache(maxsize=1024)
def _linearize(cls: Definition, above: frozenset[tuple[str, str]]) -> list[Base]:
    assert isinstance(cls.node, ast.ClassDef)
    if cls.key in above:
        return [OPAQUE]
    bases: list[list[Base]] = []
    for node in cls.node.bases:
        if _plain_name(node) in PLAIN_BASES:
            continue
        symbol = resolve_expression(cls.source, node)
        if isinstance(symbol, Definition) and isinstance(symbol.node, ast.ClassDef):
            bases.append(_linearize(symbol, above | {cls.key}))
        else:
            bases.append([OPAQUE])
    return [cls, *_merge([*bases, [line[0] for line in bases]])]


def _merge(lines: list[list[Base]]) -> list[Base]:
    """The merge of C3: the first head that stands in no other line's tail comes next."""
    merged: list[Base] = []
    lines = [list(line) for line in lines if line]
    while lines:
        head = next(
            (line[0] for line in lines if not any(_same(line[0], b) for other in lines for b in other[1:])),
            lines[0][0],
        )
        merged.append(head)
        lines = [[b for b in line if not _same(b, head)] for line in lines]
        lines = [line for line in lines if line]
    return merged


def _same(left: Base, right: Base) -> bool:
    if isinstance(left, Opaque) or isinstance(right, Opaque):
        return left is right
    return left.key == right.key


def _plain_name(node: ast.expr) -> str:
    if isinstance(node, ast.Subscript):
        return _plain_name(node.value)
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""
