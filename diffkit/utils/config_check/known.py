"""What is known of the names of a function while its statements are walked through."""

import ast
from typing import Any

from diffkit.utils.config_check.calls import Code
from diffkit.utils.config_check.evaluate import PURE, Fields, Unknown, evaluate

Origins = dict[str, tuple[str, ...]]


class Known:
    """The values of the names of one function, as far as they can be told, and where they come from.

    Attributes:
        code: the function.
        names: the value of each local name, or ``Unknown``.
        origins: the arguments of the outermost call that each local name was made from.
        fields: the attributes of the object that is built, with origins of their own.
    """

    def __init__(self, code: Code, origins: Origins, fields: Fields) -> None:
        self.code, self.origins, self.fields = code, dict(origins), fields
        self.names: dict[str, Any] = {}

    def bind(self, positional: list[Any], keywords: dict[str, Any]) -> None:
        """Gives the arguments their values, as a call does."""
        names = self.code.positional
        every = {*names, *self.code.keyword_only}
        given = {**dict(zip(names, positional, strict=False)), **keywords}
        if self.code.self_name:
            self.names[self.code.self_name] = self.fields
        defaults = {name: self.value(node) for name, node in self.code.defaults.items()}
        self.names |= {name: given.get(name, defaults.get(name, Unknown)) for name in every}
        args = self.code.node.args
        if args.vararg:
            self.names[args.vararg.arg] = tuple(positional[len(names) :])
        if args.kwarg:
            self.names[args.kwarg.arg] = {k: v for k, v in given.items() if k not in every}
        if self.code.is_dataclass:
            for name in every:
                self.set_field(name, self.names[name], self.origins.get(name, ()))

    def value(self, node: ast.expr) -> Any:
        """Returns the value of an expression, or ``Unknown``."""
        try:
            return evaluate(node, self.names, self.code.source)
        except Unknown:
            return Unknown

    def origin(self, node: ast.expr) -> tuple[str, ...]:
        """Returns the arguments of the outermost call that an expression is made from."""
        found: list[str] = []
        for child in ast.walk(node):
            if isinstance(child, ast.Name):
                found += self.origins.get(child.id, ())
            elif isinstance(child, ast.Attribute) and self.is_self(child.value):
                found += self.fields.origins.get(child.attr, ())
        return tuple(dict.fromkeys(found))

    def is_self(self, node: ast.AST) -> bool:
        """Returns whether an expression is the object that is built."""
        return isinstance(node, ast.Name) and node.id == self.code.self_name

    def set_field(self, name: str, value: Any, origin: tuple[str, ...]) -> None:
        """Gives an attribute of the object its value."""
        self.fields[name], self.fields.origins[name] = value, origin

    def assign(self, targets: list[ast.expr], value: ast.expr) -> None:
        """Does what an assignment does."""
        for target in targets:
            if isinstance(target, ast.Name):
                # in this order: the value may be made from the name's old value
                self.origins[target.id] = self.origin(value)
                self.names[target.id] = self.value(value)
            elif isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
                for part, part_value in zip(target.elts, value.elts, strict=False):
                    self.assign([part], part_value)
            elif isinstance(target, ast.Attribute) and self.is_self(target.value):
                self.set_field(target.attr, self.value(value), self.origin(value))
            else:
                self.forget(target)

    def take(self, target: ast.expr, item: Any, origin: tuple[str, ...]) -> None:
        """Gives the names of a loop their values; an item that names an argument is about that argument."""
        parts = item if isinstance(item, tuple) else (item,)
        targets = target.elts if isinstance(target, ast.Tuple) else [target]
        named = tuple(o for o in origin if o in parts) or origin
        for name, part in zip(targets, parts, strict=False):
            if isinstance(name, ast.Name):
                self.names[name.id], self.origins[name.id] = part, named

    def forget(self, node: ast.AST) -> None:
        """What a statement that is not followed may set or change is not known any more."""
        for child in ast.walk(node):
            match child:
                case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
                    self.names[name] = Unknown
                case ast.Subscript(value=ast.Name(id=name), ctx=ast.Store() | ast.Del()):
                    self.names[name] = Unknown
                case ast.Attribute(attr=attr, ctx=ast.Store()):
                    self.fields.pop(attr, None)
                case ast.Call():
                    self._forget_changed(child)

    def _forget_changed(self, call: ast.Call) -> None:
        """A call that is not followed may change the lists and dicts that it gets, and the object itself."""
        if isinstance(call.func, ast.Name) and call.func.id in PURE:
            return
        owner = [call.func.value] if isinstance(call.func, ast.Attribute) else []
        for node in [*owner, *call.args, *(k.value for k in call.keywords)]:
            if self.is_self(node):
                self.fields.clear()
            elif isinstance(node, ast.Name) and isinstance(self.names.get(node.id), list | dict | set):
                self.names[node.id] = Unknown
