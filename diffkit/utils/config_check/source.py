"""Python modules as text: finds and parses them, and never imports one.

The check must know the arguments of classes from torch, diffusers and diffkit within a second, and importing
those takes many. So their source is parsed, and what a module binds is read from its statements.
"""

import ast
import importlib.util
import sys
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.machinery import ModuleSpec
from pathlib import Path


@dataclass(frozen=True)
class Alias:
    """A name that stands for another: ``from module import name as bound`` or ``import module as bound``."""

    module: str
    name: str | None


Binding = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef | Alias | ast.expr


@dataclass(frozen=True, eq=False)
class Source:
    """One parsed module.

    Attributes:
        name: its dotted name.
        path: its file.
        bindings: what each top-level name stands for: a definition, an alias, or the value it is given.
        stars: the modules whose names it takes over with ``import *``.
        dynamic: whether it makes names while it runs, so that a missing name proves nothing.
        tree: the parsed text.
    """

    name: str
    path: Path
    tree: ast.Module
    bindings: dict[str, Binding] = field(default_factory=dict)
    stars: tuple[str, ...] = ()
    dynamic: bool = False

    @property
    def package(self) -> str:
        """The package that relative imports start from."""
        return self.name if self.path.name == "__init__.py" else self.name.rpartition(".")[0]

    @property
    def exports(self) -> list[str] | None:
        """The names in ``__all__`` where it is a plain list, else None."""
        value = self.bindings.get("__all__")
        if not isinstance(value, ast.List | ast.Tuple):
            return None
        return [e.value for e in value.elts if isinstance(e, ast.Constant) and isinstance(e.value, str)]


def find_source(name: str) -> Source | None:
    """Returns the parsed module ``name`` (dotted), or None when it has no Python file that can be parsed."""
    path = find_file(name)
    if path is None:
        return None
    stat = path.stat()
    return _parse(name, path, stat.st_mtime_ns, stat.st_size)


def find_file(name: str) -> Path | None:
    """Returns the file of a module or package, without importing it or its parents."""
    top, *rest = name.split(".")
    for root in _top_locations(top, tuple(sys.path)):
        path = root.joinpath(*rest)
        candidates = (
            [root] if root.suffix == ".py" and not rest else [path / "__init__.py", path.with_name(path.name + ".py")]
        )
        for candidate in candidates:
            if candidate.is_file():
                return candidate
    return None


def is_installed(name: str) -> bool:
    """Returns whether the top-level package of a dotted name can be imported."""
    return _spec(name.split(".")[0]) is not None


def parse_file(path: Path) -> ast.Module:
    """Returns the parsed text of a file (cached until the file changes).

    Raises:
        SyntaxError: if it is no valid Python.
    """
    stat = path.stat()
    return _parse_text(path, stat.st_mtime_ns, stat.st_size)


def forget_sources() -> None:
    """Lets go of all parsed files: they are so many objects that the end of the process would take longer."""
    _parse.cache_clear()
    _parse_text.cache_clear()


@lru_cache(maxsize=1024)
def _parse_text(path: Path, _mtime: int, _size: int) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


@lru_cache(maxsize=1024)
def _parse(name: str, path: Path, mtime: int, size: int) -> Source | None:
    try:
        tree = _parse_text(path, mtime, size)
    except (SyntaxError, UnicodeDecodeError):
        return None
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    reader = _Reader(package)
    reader.read(tree.body)
    return Source(name, path, tree, reader.bindings, tuple(reader.stars), reader.dynamic)


def _spec(top: str) -> ModuleSpec | None:
    try:
        return importlib.util.find_spec(top)
    except (ImportError, ValueError, AttributeError):
        return None


@lru_cache(maxsize=256)
def _top_locations(top: str, _path: tuple[str, ...]) -> tuple[Path, ...]:
    spec = _spec(top)
    if spec is None:
        return ()
    if spec.submodule_search_locations is not None:
        return tuple(Path(location) for location in spec.submodule_search_locations)
    return (Path(spec.origin),) if spec.origin and spec.origin.endswith(".py") else ()


class _Reader:
    """Collects what the statements of a module bind; of two branches, the one that usually runs wins."""

    def __init__(self, package: str) -> None:
        self.package = package
        self.bindings: dict[str, Binding] = {}
        self.stars: list[str] = []
        self.dynamic = False

    def read(self, body: list[ast.stmt]) -> None:
        for node in body:
            match node:
                case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                    self.bindings[node.name] = node
                    self.dynamic |= node.name == "__getattr__"
                case ast.Import():
                    self._read_import(node)
                case ast.ImportFrom():
                    self._read_import_from(node)
                case ast.Assign():
                    for target in node.targets:
                        self._read_target(target, node.value)
                case ast.AnnAssign() if node.value is not None:
                    self._read_target(node.target, node.value)
                case ast.If():
                    self.read(node.orelse)
                    self.read(node.body)
                case ast.Try():
                    for handler in node.handlers:
                        self.read(handler.body)
                    self.read([*node.body, *node.orelse, *node.finalbody])
                case ast.With():
                    self.read(node.body)
                case ast.Expr(value=ast.Call()):
                    self.dynamic |= "globals()" in ast.unparse(node.value)

    def _read_import(self, node: ast.Import) -> None:
        for alias in node.names:
            if alias.asname:
                self.bindings[alias.asname] = Alias(alias.name, None)
            else:
                top = alias.name.split(".")[0]
                self.bindings[top] = Alias(top, None)

    def _read_import_from(self, node: ast.ImportFrom) -> None:
        module = absolute_module(node, self.package)
        for alias in node.names:
            if alias.name == "*":
                self.stars.append(module)
            else:
                self.bindings[alias.asname or alias.name] = Alias(module, alias.name)

    def _read_target(self, target: ast.expr, value: ast.expr) -> None:
        if isinstance(target, ast.Name):
            self.bindings[target.id] = value
        elif isinstance(target, ast.Subscript):
            self.dynamic |= ast.unparse(target.value) in ("sys.modules", "globals()")
        elif isinstance(target, ast.Tuple):
            for element in target.elts:
                self._read_target(element, ast.Constant(None))


def absolute_module(node: ast.ImportFrom, package: str) -> str:
    """Returns the full name of the module of a ``from … import``, as seen in ``package``."""
    if node.level == 0:
        return node.module or ""
    parents = package.split(".")
    base = parents[: len(parents) - node.level + 1]
    return ".".join([*base, *([node.module] if node.module else [])])
