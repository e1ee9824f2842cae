"""Reads the statements of a config and of its bases as data, in the order in which MMEngine would run them."""

import ast
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.config.lazy import LazyObject

from diffkit.utils.config_check.faults import shown
from diffkit.utils.config_check.imported import is_imported
from diffkit.utils.config_check.places import base_path
from diffkit.utils.config_check.safe.grammar import hidden, is_read_base
from diffkit.utils.config_check.safe.limits import Budget, NotData, binary
from diffkit.utils.config_check.safe.values import Values, assign_name, attribute
from diffkit.utils.config_check.source import parse_file


class Reader:
    """Reads one file.

    Args:
        path: the file; ``grammar.refusals`` has found nothing in it and in its bases.
        budget: what may be spent, shared by all files of a config.

    Attributes:
        names: the value of each name of the file.
        imported: the names that stand for something imported, those of its bases included.
    """

    def __init__(self, path: Path, budget: Budget | None = None) -> None:
        self.path = path
        self.budget = budget or Budget()
        self.names: dict[str, Any] = {}
        self.imported: set[str] = set()

    def read(self) -> "Reader":
        """Reads the file; call it where imported names stay as they are (``lazy_types``).

        Raises:
            NotData: a statement cannot be worked out.
        """
        body = parse_file(self.path).body
        bases = [node for with_ in body if is_read_base(with_) for node in with_.body]  # type: ignore[attr-defined]
        try:
            for node in bases:
                self._base(node)
            for statement in body:
                if not is_read_base(statement):
                    self.budget.spend(statement.lineno)
                    self._statement(statement)
        except NotData as error:
            error.file = error.file or self.path
            raise
        return self

    def config_dict(self) -> ConfigDict:
        """Returns what was read as MMEngine holds it."""
        public = {name: value for name, value in self.names.items() if not hidden(name)}
        for value in public.values():
            self.budget.measure(value, 1)
        return Config._dict_to_config_dict_lazy(public)

    def _base(self, node: ast.ImportFrom) -> None:
        path = base_path(node, self.path)
        assert path is not None
        base = Reader(path, self.budget).read()
        found = base.config_dict()
        self.imported |= base.imported
        for alias in node.names:
            if alias.name == "*":
                self.names |= dict(dict.items(found))
            elif alias.name in found:
                self.names[alias.asname or alias.name] = dict.get(found, alias.name)
            else:
                raise NotData(node.lineno, f'{path.name} sets no "{alias.name}"')

    def _statement(self, node: ast.stmt) -> None:
        match node:
            case ast.Import(names=[alias]):
                module = alias.name if alias.asname else alias.name.split(".")[0]
                self._import(alias.asname or module, module, None, node.lineno)
            case ast.ImportFrom(module=str(module), names=names):
                for alias in names:
                    if alias.name != "read_base":
                        self._import(alias.asname or alias.name, module, alias.name, alias.lineno)
            case ast.Assign(targets=targets, value=value):
                result = self._values().of(value)
                for target in targets:
                    self._assign(target, result)
            case ast.AugAssign(target=target, op=op, value=value):
                self._extend(target, op, self._values().of(value))
            case ast.Delete(targets=targets):
                for target in targets:
                    self._delete(target)
            case ast.Expr(value=ast.Call() as call):
                self._values().of(call)

    def _values(self) -> Values:
        return Values(self.names, self.budget)

    def _import(self, bound: str, module: str, name: str | None, line: int) -> None:
        self.names[bound] = LazyObject(module, name, f"{self.path}, line {line}")
        self.imported.add(bound)

    def _assign(self, target: ast.expr, value: Any) -> None:
        match target:
            case ast.Attribute(value=owner, attr=name):
                held = self._values().of(owner)
                if not isinstance(held, ConfigDict):
                    message = f'{shown(held)} takes no "{name}"; in a dict of this file write ["{name}"]'
                    raise NotData(target.lineno, message)
                if hasattr(ConfigDict, name):
                    raise NotData(target.lineno, f'another meaning for "{name}"')
                held[name] = value
            case ast.Subscript(value=owner, slice=index):
                self._set_item(self._values().of(owner), self._values().of(index), value, target.lineno)
            case _:
                assign_name(self.names, target, value)

    def _set_item(self, owner: Any, index: Any, value: Any, line: int) -> None:
        if not isinstance(owner, dict | list):
            raise NotData(line, f"{shown(owner)} has no parts that can be set")
        try:
            owner[index] = value
        except (IndexError, TypeError, KeyError) as error:
            raise NotData(line, f"{type(error).__name__}: {error}") from None

    def _extend(self, target: ast.expr, op: ast.operator, value: Any) -> None:
        held = self._values().of(target)
        if isinstance(held, list) and isinstance(op, ast.Add) and isinstance(value, list | tuple):
            held.extend(value)  # what else refers to the list sees it too
            self.budget.measure(held, target.lineno)
            return
        try:
            self._assign(target, binary(op, held, value, target.lineno))
        except (TypeError, ArithmeticError) as error:
            raise NotData(target.lineno, f"{type(error).__name__}: {error}") from None

    def _delete(self, target: ast.expr) -> None:
        try:
            match target:
                case ast.Name(id=name):
                    del self.names[name]
                case ast.Attribute(value=owner, attr=name):
                    held = self._values().of(owner)
                    attribute(held, name, target.lineno)
                    if not is_imported(held):
                        dict.__delitem__(held, name)
                case ast.Subscript(value=owner, slice=index):
                    del self._values().of(owner)[self._values().of(index)]
        except (KeyError, IndexError, TypeError, NameError) as error:
            raise NotData(target.lineno, f"there is nothing to delete: {type(error).__name__}: {error}") from None
