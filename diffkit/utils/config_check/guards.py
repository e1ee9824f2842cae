"""The demands that a constructor makes of its arguments, tried without running it.

Our classes, torch and MMEngine check their arguments first: ``if rank < 1: raise ValueError(...)``. Those statements
are read from the source and tried on the values of the config, so a range is written down once, where it belongs.
What cannot be told from plain values is passed over, and the constructor itself will say it later.
"""

import ast
import re
from collections.abc import Iterator
from itertools import takewhile
from typing import Any, NamedTuple

from diffkit.utils.config_check.annotations import as_text, fits
from diffkit.utils.config_check.calls import Code, constructor_code, function_code, method_code
from diffkit.utils.config_check.classes import linearize
from diffkit.utils.config_check.evaluate import Fields, Unknown, evaluate
from diffkit.utils.config_check.faults import shown
from diffkit.utils.config_check.known import Known, Origins
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


class Demand(NamedTuple):
    """A demand that the arguments break.

    Attributes:
        message: what the constructor would say.
        arguments: the paths of the arguments it is about, the likeliest first: ``rank``, ``generation.height``.
    """

    message: str
    arguments: tuple[str, ...]


def broken_demands(target: Definition, arguments: dict[str, Any]) -> list[Demand]:
    """Returns the errors that a call with these keywords would raise at once.

    Args:
        target: the class or function.
        arguments: the keywords of the config, as plain values; the class ``Unknown`` stands for what is not known.
    """
    is_class = isinstance(target.node, ast.ClassDef)
    code = constructor_code(linearize(target)) if is_class else function_code(target)
    if code is None:
        return []
    trial = _Trial(Known(code, {name: (name,) for name in arguments}, Fields(target.name)))
    return list(dict.fromkeys(trial.run([], arguments)))


class _Trial:
    """Walks through the statements of one function with the values that its names have."""

    def __init__(self, known: Known, depth: int = 0) -> None:
        self.known, self.depth = known, depth
        self.ended = False

    def run(self, positional: list[Any], keywords: dict[str, Any]) -> Iterator[Demand]:
        """Yields the demands that a call with these arguments breaks."""
        self.known.bind(positional, keywords)
        yield from self._block(self.known.code.body, ())

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
                    if not self.known.value(test):
                        yield Demand(self._text(msg, f"must hold: {ast.unparse(test)}"), self.known.origin(test))
                case ast.Expr(value=value) | ast.Assign(value=value) | ast.AnnAssign(value=value) if value:
                    yield from self._calls(value)
                    if not isinstance(node, ast.Expr):
                        self.known.assign(node.targets if isinstance(node, ast.Assign) else [node.target], value)
                case ast.For():
                    yield from self._loop(node, about)
                case ast.Try(body=[ast.Expr(value=value) | ast.Assign(value=value) as only]):
                    yield from self._attempt(node, value)
                    self.known.forget(only)
                case _:
                    self.known.forget(node)

    def _branch(self, node: ast.If, about: tuple[str, ...]) -> Iterator[Demand]:
        test = self.known.value(node.test)
        if test is Unknown:
            self.known.forget(node)
            self.ended = any(isinstance(child, ast.Return) for child in ast.walk(node))
        else:
            yield from self._block(node.body if test else node.orelse, (*self.known.origin(node.test), *about))

    def _loop(self, node: ast.For, about: tuple[str, ...]) -> Iterator[Demand]:
        if isinstance(node.iter, ast.Tuple | ast.List):
            for element in node.iter.elts:
                self.known.assign([node.target], element)
                yield from self._block(node.body, about)
            return
        items = self.known.value(node.iter)
        if items is Unknown or len(items) > _LOOP:
            self.known.forget(node)
            return
        origin = self.known.origin(node.iter)
        for item in items:
            self.known.take(node.target, item, origin)
            yield from self._block(node.body, about)

    def _attempt(self, node: ast.Try, value: ast.expr) -> Iterator[Demand]:
        """Tries one expression, and goes into the handler of the error that it raises."""
        try:
            evaluate(value, self.known.names, self.known.code.source)
        except Unknown as unknown:
            for handler in node.handlers:
                kind = _CAUGHT.get(ast.unparse(handler.type)) if handler.type else None
                if kind and isinstance(unknown.error, kind):
                    if handler.name:
                        self.known.names[handler.name] = str(unknown.error)
                    yield from self._block(handler.body, self.known.origin(value))
                    return

    def _refusal(self, node: ast.Raise, about: tuple[str, ...]) -> Iterator[Demand]:
        error = node.exc
        if isinstance(error, ast.Call) and isinstance(error.func, ast.Name) and error.func.id in _REFUSALS:
            message = error.args[0] if error.args else None
            yield Demand(self._text(message, "its constructor refuses these arguments"), about)

    def _text(self, node: ast.expr | None, otherwise: str) -> str:
        text = Unknown if node is None else self.known.value(node)
        return otherwise if text is Unknown else str(text)

    def _calls(self, node: ast.AST) -> Iterator[Demand]:
        """Follows the calls in an expression that are sure to be made, inner ones first."""
        match node:
            case ast.Lambda() | ast.GeneratorExp() | ast.ListComp() | ast.SetComp() | ast.DictComp():
                return
            case ast.IfExp(test=test, body=body, orelse=orelse):
                truth = self.known.value(test)
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
        stars = [self.known.value(a.value) for a in call.args if isinstance(a, ast.Starred)]
        if code is None or self.depth >= _DEPTH or Unknown in stars:
            self.known.forget(call)
            return
        positional: list[Any] = []
        for argument in call.args:
            is_star = isinstance(argument, ast.Starred)
            positional += stars.pop(0) if is_star else [self.known.value(argument)]
        keywords: dict[str, Any] = {}
        origins = self._inner_origins(call, code)
        for keyword in call.keywords:
            value = self.known.value(keyword.value)
            if keyword.arg is not None:
                keywords[keyword.arg] = value
            elif isinstance(value, dict):
                keywords |= value
                origin = self.known.origin(keyword.value)
                paths = {k: tuple(f"{o}.{k}" for o in origin) or self.known.origins.get(k, ()) for k in value}
                origins = {**paths, **origins}
                yield from _misfits(code, value, paths)
        fields = self.known.fields if code.shares_self else Fields(code.owner)
        yield from _Trial(Known(code, origins, fields), self.depth + 1).run(positional, keywords)

    def _inner_origins(self, call: ast.Call, code: Code) -> Origins:
        plain = takewhile(lambda argument: not isinstance(argument, ast.Starred), call.args)
        origins = dict(zip(code.positional, map(self.known.origin, plain), strict=False))
        return origins | {k.arg: self.known.origin(k.value) for k in call.keywords if k.arg}

    def _callee(self, call: ast.Call) -> Code | None:
        func, code = call.func, self.known.code
        if isinstance(func, ast.Attribute) and ast.unparse(func.value) == "super()" and func.attr == "__init__":
            has_arguments = bool(call.args or call.keywords)
            return constructor_code(code.rest, code.mro) if code.rest is not None and has_arguments else None
        if isinstance(func, ast.Attribute) and self.known.is_self(func.value):
            return method_code(code.mro, func.attr) if code.mro is not None else None
        if not isinstance(func, ast.Name) or not is_near(code.source, func.id):
            return None
        symbol = lookup(code.source, func.id)
        if not isinstance(symbol, Definition):
            return None
        return constructor_code(linearize(symbol)) if isinstance(symbol.node, ast.ClassDef) else function_code(symbol)


def _misfits(code: Code, given: dict[str, Any], paths: Origins) -> Iterator[Demand]:
    """Holds a ``**dict`` of the user's against the arguments of the call that it is given to."""
    if code.node.args.kwarg or code.shares_self:
        return
    names = [*code.positional, *code.keyword_only]
    for name, value in given.items():
        if name not in names:
            hint = did_you_mean(name, names)
            yield Demand(f'{code.owner} takes no argument "{name}" (given {shown(value)}){hint}', paths[name])
        elif value is not Unknown and name in code.annotations and not fits(value, code.annotations[name], code.source):
            wanted = as_text(code.annotations[name])
            yield Demand(f"{code.owner} wants {wanted}, given {shown(value)}", paths[name])
