"""The demands that a constructor makes of its arguments, tried without running it.

Our classes, torch and MMEngine check their arguments first: ``if rank < 1: raise ValueError(...)``. Those
statements are read from the source and tried on the values of the config, so a range is written down once,
where it belongs. What cannot be told from plain values is passed over, and the constructor itself will say it
later.
"""

import ast
import re
from collections.abc import Iterator
from itertools import takewhile
from typing import Any

from diffkit.utils.config_check.annotations import as_text, fits
from diffkit.utils.config_check.calls import Code, constructor_code, function_code, method_code
from diffkit.utils.config_check.classes import linearize
from diffkit.utils.config_check.evaluate import PURE, Fields, Unknown, evaluate
from diffkit.utils.config_check.faults import shown
from diffkit.utils.config_check.symbols import Definition, is_near, lookup
from diffkit.utils.near import did_you_mean

_LOOP = 64  # rounds of a loop that are tried
_DEPTH = 5  # calls followed inside one another
_REFUSALS = {"ValueError", "TypeError", "KeyError", "AssertionError"}
_CAUGHT: dict[str, type[Exception]] = {
    "re.error": re.error,
    "ValueError": ValueError,
    "TypeError": TypeError,
    "KeyError": KeyError,
}
Origins = dict[str, tuple[str, ...]]


class Demand(tuple[str, tuple[str, ...]]):
    """A demand that the arguments break: its message, and the key paths it is about, the likeliest first."""

    @property
    def message(self) -> str:
        """What the constructor would say."""
        return self[0]

    @property
    def arguments(self) -> tuple[str, ...]:
        """Paths below the call: ``rank``, ``generation.height``."""
        return self[1]


def broken_demands(target: Definition, arguments: dict[str, Any]) -> list[Demand]:
    """Returns the errors that a call with these keywords would raise at once.

    Args:
        target: the class or function. arguments: the keywords of the config, as plain values; the class
        ``Unknown`` stands for what is not known.
    """
    is_class = isinstance(target.node, ast.ClassDef)
    code = constructor_code(linearize(target)) if is_class else function_code(target)
    if code is None:
        return []
    trial = _Trial(code, {name: (name,) for name in arguments}, Fields(target.name))
    return list(dict.fromkeys(trial.run([], arguments)))


class _Trial:
    """Walks through the statements of one function with the values that its names have.

    Attributes:
        names: the value of each local name, or ``Unknown``.
        origins: the arguments of the outermost call that each local name was made from.
        fields: the attributes of the object that is built.
    """

    def __init__(self, code: Code, origins: Origins, fields: Fields, depth: int = 0) -> None:
        self.code, self.origins, self.fields, self.depth = code, dict(origins), fields, depth
        self.names: dict[str, Any] = {}
        self.ended = False

    def run(self, positional: list[Any], keywords: dict[str, Any]) -> Iterator[Demand]:
        """Yields the demands that a call with these arguments breaks."""
        names = self.code.positional
        every = {*names, *self.code.keyword_only}
        given = {**dict(zip(names, positional, strict=False)), **keywords}
        if self.code.self_name:
            self.names[self.code.self_name] = self.fields
        defaults = {name: self._value(node) for name, node in self.code.defaults.items()}
        self.names |= {name: given.get(name, defaults.get(name, Unknown)) for name in every}
        args = self.code.node.args
        if args.vararg:
            self.names[args.vararg.arg] = tuple(positional[len(names) :])
        if args.kwarg:
            self.names[args.kwarg.arg] = {k: v for k, v in given.items() if k not in every}
        if self.code.is_dataclass:
            self.fields |= {name: self.names[name] for name in every}
            self.origins |= {f"self.{name}": self.origins.get(name, ()) for name in every}
        yield from self._block(self.code.body, ())

    def _value(self, node: ast.expr) -> Any:
        try:
            return evaluate(node, self.names, self.code.source)
        except Unknown:
            return Unknown

    def _block(self, body: list[ast.stmt], about: tuple[str, ...]) -> Iterator[Demand]:
        for node in body:
            if self.ended:
                return
            match node:
                case ast.If():
                    yield from self._branch(node, about)
                case ast.Raise():
                    yield from self._refusal(node, about)
                    return
                case ast.Return(value=value):
                    if value is not None:
                        yield from self._calls(value)
                    self.ended = True
                case ast.Assert(test=test, msg=msg):
                    if not self._value(test):
                        yield Demand((self._text(msg, f"must hold: {ast.unparse(test)}"), self._origin(test)))
                case ast.Expr(value=value) | ast.Assign(value=value) | ast.AnnAssign(value=value) if value:
                    yield from self._calls(value)
                    if not isinstance(node, ast.Expr):
                        self._assign(node.targets if isinstance(node, ast.Assign) else [node.target], value)
                case ast.For():
                    yield from self._loop(node, about)
                case ast.Try(body=[ast.Expr(value=value) | ast.Assign(value=value) as only]):
                    yield from self._attempt(node, value)
                    self._forget(only)
                case _:
                    self._forget(node)

    def _branch(self, node: ast.If, about: tuple[str, ...]) -> Iterator[Demand]:
        test = self._value(node.test)
        if test is Unknown:
            self._forget(node)
            self.ended = any(isinstance(child, ast.Return) for child in ast.walk(node))
        else:
            yield from self._block(node.body if test else node.orelse, (*self._origin(node.test), *about))

    def _loop(self, node: ast.For, about: tuple[str, ...]) -> Iterator[Demand]:
        if isinstance(node.iter, ast.Tuple | ast.List):
            for item in node.iter.elts:
                self._assign([node.target], item)
                yield from self._block(node.body, about)
            return
        items = self._value(node.iter)
        if items is Unknown or len(items) > _LOOP:
            self._forget(node)
            return
        origin = self._origin(node.iter)
        for item in items:
            self._take(node.target, item, origin)
            yield from self._block(node.body, about)

    def _take(self, target: ast.expr, item: Any, origin: tuple[str, ...]) -> None:
        """Gives the names of a loop their values; an item that names an argument is about that argument."""
        parts = item if isinstance(item, tuple) else (item,)
        targets = target.elts if isinstance(target, ast.Tuple) else [target]
        named = tuple(o for o in origin if o in parts) or origin
        for name, part in zip(targets, parts, strict=False):
            if isinstance(name, ast.Name):
                self.names[name.id], self.origins[name.id] = part, named

    def _attempt(self, node: ast.Try, value: ast.expr) -> Iterator[Demand]:
        """Tries one expression, and goes into the handler of the error that it raises."""
        try:
            evaluate(value, self.names, self.code.source)
        except Unknown as unknown:
            for handler in node.handlers:
                kind = _CAUGHT.get(ast.unparse(handler.type)) if handler.type else None
                if kind and isinstance(unknown.error, kind):
                    if handler.name:
                        self.names[handler.name] = str(unknown.error)
                    yield from self._block(handler.body, self._origin(value))
                    return

    def _refusal(self, node: ast.Raise, about: tuple[str, ...]) -> Iterator[Demand]:
        error = node.exc
        if isinstance(error, ast.Call) and isinstance(error.func, ast.Name) and error.func.id in _REFUSALS:
            message = error.args[0] if error.args else None
            yield Demand((self._text(message, "its constructor refuses these arguments"), about))

    def _text(self, node: ast.expr | None, otherwise: str) -> str:
        text = Unknown if node is None else self._value(node)
        return otherwise if text is Unknown else str(text)

    def _assign(self, targets: list[ast.expr], value: ast.expr) -> None:
        for target in targets:
            if isinstance(target, ast.Name):
                self.origins[target.id] = self._origin(value)
                self.names[target.id] = self._value(value)
            elif isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
                for part, part_value in zip(target.elts, value.elts, strict=False):
                    self._assign([part], part_value)
            elif isinstance(target, ast.Attribute) and self._is_self(target.value):
                self.origins[f"self.{target.attr}"] = self._origin(value)
                self.fields[target.attr] = self._value(value)
            else:
                self._forget(target)

    def _forget(self, node: ast.AST) -> None:
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
            if self._is_self(node):
                self.fields.clear()
            elif isinstance(node, ast.Name) and isinstance(self.names.get(node.id), list | dict | set):
                self.names[node.id] = Unknown

    def _is_self(self, node: ast.AST) -> bool:
        return isinstance(node, ast.Name) and node.id == self.code.self_name

    def _origin(self, node: ast.expr) -> tuple[str, ...]:
        """Returns the arguments of the outermost call that an expression is made from."""
        names = [
            child.id if isinstance(child, ast.Name) else f"self.{child.attr}"
            for child in ast.walk(node)
            if isinstance(child, ast.Name) or (isinstance(child, ast.Attribute) and self._is_self(child.value))
        ]
        return tuple(dict.fromkeys(o for name in names for o in self.origins.get(name, ())))

    def _calls(self, node: ast.AST) -> Iterator[Demand]:
        """Follows the calls in an expression that are sure to be made, inner ones first."""
        match node:
            case ast.Lambda() | ast.GeneratorExp() | ast.ListComp() | ast.SetComp() | ast.DictComp():
                return
            case ast.IfExp(test=test, body=body, orelse=orelse):
                truth = self._value(test)
                if truth is not Unknown:
                    yield from self._calls(body if truth else orelse)
                return
            case ast.BoolOp(values=[first, *_]):
                yield from self._calls(first)
                return
        for child in ast.iter_child_nodes(node):
            yield from self._calls(child)
        if isinstance(node, ast.Call):
            yield from self._call(node)

    def _call(self, call: ast.Call) -> Iterator[Demand]:
        """Follows a call of the next ``__init__``, or of a method, function or class of the same package."""
        code = self._callee(call)
        stars = [self._value(a.value) for a in call.args if isinstance(a, ast.Starred)]
        if code is None or self.depth >= _DEPTH or Unknown in stars:
            self._forget(call)
            return
        positional: list[Any] = []
        for argument in call.args:
            if isinstance(argument, ast.Starred):
                positional += self._value(argument.value)
            else:
                positional.append(self._value(argument))
        keywords: dict[str, Any] = {}
        origins = self._inner_origins(call, code)
        for keyword in call.keywords:
            value = self._value(keyword.value)
            if keyword.arg is not None:
                keywords[keyword.arg] = value
            elif isinstance(value, dict):
                keywords |= value
                origin = self._origin(keyword.value)
                paths = {k: tuple(f"{o}.{k}" for o in origin) or self.origins.get(k, ()) for k in value}
                origins = {**paths, **origins}
                yield from self._misfits(code, value, paths)
        fields = self.fields if code.shares_self else Fields(code.owner)
        yield from _Trial(code, origins, fields, self.depth + 1).run(positional, keywords)

    def _misfits(self, code: Code, given: dict[str, Any], paths: Origins) -> Iterator[Demand]:
        """Holds a ``**dict`` of the user's against the arguments of the call that it is given to."""
        if code.node.args.kwarg or code.shares_self:
            return
        names = [*code.positional, *code.keyword_only]
        for name, value in given.items():
            if name not in names:
                hint = did_you_mean(name, names)
                yield Demand((f'{code.owner} takes no argument "{name}" (given {shown(value)}){hint}', paths[name]))
            elif (
                value is not Unknown
                and name in code.annotations
                and not fits(value, code.annotations[name], code.source)
            ):
                wanted = as_text(code.annotations[name])
                yield Demand((f"{code.owner} wants {wanted}, given {shown(value)}", paths[name]))

    def _inner_origins(self, call: ast.Call, code: Code) -> Origins:
        plain = takewhile(lambda argument: not isinstance(argument, ast.Starred), call.args)
        origins = dict(zip(code.positional, map(self._origin, plain), strict=False))
        origins |= {k.arg: self._origin(k.value) for k in call.keywords if k.arg}
        return (
            origins
            if not code.shares_self
            else {**{name: o for name, o in self.origins.items() if name.startswith("self.")}, **origins}
        )

    def _callee(self, call: ast.Call) -> Code | None:
        func = call.func
        if isinstance(func, ast.Attribute) and ast.unparse(func.value) == "super()" and func.attr == "__init__":
            return constructor_code(list(self.code.rest), self.code.mro)
        if isinstance(func, ast.Attribute) and self._is_self(func.value):
            return method_code(self.code.mro, func.attr)
        if not isinstance(func, ast.Name) or not is_near(self.code.source, func.id):
            return None
        symbol = lookup(self.code.source, func.id)
        if not isinstance(symbol, Definition):
            return None
        return constructor_code(linearize(symbol)) if isinstance(symbol.node, ast.ClassDef) else function_code(symbol)
