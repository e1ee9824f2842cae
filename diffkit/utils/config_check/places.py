"""Which file and line sets a key of a config.

The statements of the config and of its bases are read in the order in which they run, and each one notes
where it sets what. Expressions that cannot be followed keep the place of their statement.
"""

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from diffkit.utils.config_check.source import find_file, parse_file


@dataclass
class Place:
    """Where a value is set, and where its parts are.

    Attributes:
        file: the config file.
        line: from 1.
        parts: the places of the keys of a dict, or of the elements of a list under "0", "1", ….
    """

    file: Path
    line: int
    parts: "dict[str, Place]" = field(default_factory=dict)


@dataclass
class ConfigFiles:
    """The files that a config is made of.

    Attributes:
        places: where each top-level name is set last.
        readers: the files that read each top-level name.
        setters: the file that sets each top-level name last.
        files: all files, each base before the files that inherit from it.
    """

    places: dict[str, Place] = field(default_factory=dict)
    readers: dict[str, list[Path]] = field(default_factory=dict)
    setters: dict[str, Path] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)

    def find(self, key: str) -> Place | None:
        """Returns the place of a key path, or of the deepest part of it that is known."""
        place: Place | None = None
        parts = self.places
        for name in key.split("."):
            if name not in parts:
                break
            place = parts[name]
            parts = place.parts
        return place

    def is_read(self, name: str) -> bool:
        """Returns whether the file that sets a name last, or one that inherits from it, reads the name."""
        setter = self.setters.get(name)
        later = self.files[self.files.index(setter) :] if setter else self.files
        return any(file in later for file in self.readers.get(name, []))


def read_config_files(path: Path) -> ConfigFiles:
    """Reads a Python config and its bases; a file that is no Python config gives an empty result."""
    found = ConfigFiles()
    if path.suffix == ".py":
        found.places = _FileReader(path, found).read()
    return found


class _FileReader:
    def __init__(self, path: Path, files: ConfigFiles) -> None:
        self.path, self.files = path, files
        self.names: dict[str, Place] = {}

    def read(self) -> dict[str, Place]:
        tree = parse_file(self.path)
        self._block(tree.body)
        if self.path not in self.files.files:
            self.files.files.append(self.path)
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                self.files.readers.setdefault(node.id, []).append(self.path)
        return self.names

    def _block(self, body: list[ast.stmt]) -> None:
        for node in body:
            match node:
                case ast.With(body=inner):
                    for statement in inner:
                        if isinstance(statement, ast.ImportFrom):
                            self._base(statement)
                case ast.Assign(targets=targets, value=value):
                    self._assign(targets, value)
                case ast.AnnAssign(target=target, value=value) if value is not None:
                    self._assign([target], value)
                case ast.AugAssign(target=target, value=value):
                    self._extend(target, value)
                case ast.Expr(value=ast.Call(func=ast.Attribute(value=owner, attr=method)) as call):
                    self._method(owner, method, call)
                case ast.Delete(targets=targets):
                    for target in targets:
                        self._drop(target)
                case ast.For(body=inner, target=target):
                    self._assign([target], node.iter)
                    self._block(inner)
                case ast.If(body=inner, orelse=orelse):
                    self._block([*inner, *orelse])

    def _base(self, node: ast.ImportFrom) -> None:
        path = base_path(node, self.path)
        if path is None or not path.is_file():
            return
        names = _FileReader(path, self.files).read()
        for alias in node.names:
            if alias.name == "*":
                self.names |= names
            elif alias.name in names:
                self.names[alias.asname or alias.name] = names[alias.name]

    def _assign(self, targets: list[ast.expr], value: ast.expr) -> None:
        for target in targets:
            if isinstance(target, ast.Name):
                self.names[target.id] = self._place(value, target.lineno)
                self.files.setters[target.id] = self.path
            elif isinstance(target, ast.Tuple):
                for element in target.elts:
                    self._assign([element], value)
            else:
                owner, key = self._owner(target)
                if owner is not None:
                    owner.parts[key] = self._place(value, target.lineno)

    def _extend(self, target: ast.expr, value: ast.expr) -> None:
        place = self._find(target)
        if place is None:
            return
        for part in self._place(value, target.lineno).parts.values():
            place.parts[str(len(place.parts))] = part

    def _method(self, owner: ast.expr, method: str, call: ast.Call) -> None:
        place = self._find(owner)
        if place is None:
            return
        if method == "update":
            _merge(place, self._call_place(call, call.lineno))
        elif method == "append" and call.args:
            place.parts[str(len(place.parts))] = self._place(call.args[0], call.lineno)
        elif method == "extend" and call.args:
            self._extend(owner, call.args[0])
        elif method == "pop" and call.args and isinstance(call.args[0], ast.Constant):
            place.parts.pop(str(call.args[0].value), None)

    def _drop(self, target: ast.expr) -> None:
        if isinstance(target, ast.Name):
            self.names.pop(target.id, None)
        else:
            owner, key = self._owner(target)
            if owner is not None:
                owner.parts.pop(key, None)

    def _owner(self, target: ast.expr) -> tuple[Place | None, str]:
        if isinstance(target, ast.Attribute):
            return self._find(target.value), target.attr
        if isinstance(target, ast.Subscript) and isinstance(target.slice, ast.Constant):
            return self._find(target.value), str(target.slice.value)
        return None, ""

    def _find(self, node: ast.expr) -> Place | None:
        if isinstance(node, ast.Name):
            return self.names.get(node.id)
        owner, key = self._owner(node)
        return owner.parts.get(key) if owner is not None else None

    def _place(self, node: ast.expr, line: int) -> Place:
        known = self._find(node)
        if known is not None:
            return Place(self.path, line, copy.deepcopy(known.parts))
        match node:
            case ast.Call():
                return self._call_place(node, line)
            case ast.Dict(keys=keys, values=values):
                place = Place(self.path, line)
                for key, value in zip(keys, values, strict=True):
                    if key is None:
                        _merge(place, self._place(value, value.lineno))
                    elif isinstance(key, ast.Constant):
                        place.parts[str(key.value)] = self._place(value, key.lineno)
                return place
            case ast.List(elts=elts) | ast.Tuple(elts=elts):
                return Place(self.path, line, {str(i): self._place(e, e.lineno) for i, e in enumerate(elts)})
        return Place(self.path, line)

    def _call_place(self, call: ast.Call, line: int) -> Place:
        """Returns the place of ``dict(…)``, or of the arguments of ``x.update(…)``."""
        place = Place(self.path, line)
        for argument in call.args:
            _merge(place, self._place(argument, argument.lineno))
        for keyword in call.keywords:
            part = self._place(keyword.value, keyword.lineno if keyword.arg else keyword.value.lineno)
            if keyword.arg:
                place.parts[keyword.arg] = part
            else:
                _merge(place, part)
        return place


def _merge(place: Place, other: Place) -> None:
    """Does to places what ``ConfigDict.update`` does to values."""
    for key, part in other.parts.items():
        if key in place.parts and place.parts[key].parts and part.parts:
            _merge(place.parts[key], part)
        else:
            place.parts[key] = part


def base_path(node: ast.ImportFrom, path: Path) -> Path | None:
    """Returns the file that an import inside ``with read_base()`` names; None for a package without files."""
    parts = (node.module or "").split(".")
    if node.level == 0:
        package = find_file(parts[0])
        return package.parent.joinpath(*parts[1:]).with_suffix(".py") if package else None
    up = [".."] * (node.level - 1)  # as MMEngine does it: above a link lies the folder above its target
    return path.absolute().parent.joinpath(*up, *parts[:-1], f"{parts[-1]}.py")


def base_files(path: Path) -> Iterator[Path]:
    """Yields the files that a config inherits from directly."""
    for _, base in base_imports(path):
        if base is not None:
            yield base


def base_imports(path: Path) -> Iterator[tuple[ast.ImportFrom, Path | None]]:
    """Yields the imports inside ``with read_base()`` and the files that they name; None for a package without files."""
    for node in ast.walk(parse_file(path)):
        if isinstance(node, ast.With):
            for statement in node.body:
                if isinstance(statement, ast.ImportFrom):
                    yield statement, base_path(statement, path)
