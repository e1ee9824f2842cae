"""Evaluates the plain expressions of a source without running it: comparisons, arithmetic, a few builtins."""

import ast
import math
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

from diffkit.utils.config_check.source import Source
from diffkit.utils.config_check.symbols import Value, is_near, lookup
from diffkit.utils.near import did_you_mean


class Unknown(Exception):
    """The value cannot be told without running the program. The class itself stands for such a value.

    Attributes:
        error: what the expression raised, if that is why.
    """

    error: Exception | None = None


class Fields(dict[str, Any]):
    """The attributes of an object that is being built, as far as they are known.

    Attributes:
        owner: the name of its class.
        origins: the arguments that each attribute was made from.
    """

    def __init__(self, owner: str) -> None:
        super().__init__()
        self.owner = owner
        self.origins: dict[str, tuple[str, ...]] = {}


# fmt: off
_COMPARE: dict[type, Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt,
    ast.GtE: operator.ge, ast.Is: operator.is_, ast.IsNot: operator.is_not,
    ast.In: lambda a, b: a in b, ast.NotIn: lambda a, b: a not in b}
_ARITHMETIC: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod, ast.Pow: operator.pow}
_UNARY: dict[type, Callable[[Any], Any]] = {ast.Not: operator.not_, ast.USub: operator.neg, ast.UAdd: operator.pos}
_TYPES: dict[str, type] = {t.__name__: t for t in (int, float, str, bool, list, tuple, dict, set, bytes)}
_FUNCTIONS: dict[str, Callable[..., Any]] = {f.__name__: f for f in (  # type: ignore[attr-defined]
    abs, all, any, bool, dict, did_you_mean, float, int, len, list, max, min, repr, round, set, sorted, str, sum,
    tuple)}
_LIBRARY: dict[str, Callable[..., Any]] = {
    "re.compile": re.compile, "math.isfinite": math.isfinite, "math.isnan": math.isnan, "math.isinf": math.isinf}
_METHODS = {"startswith", "endswith", "lower", "upper", "strip", "isidentifier", "join", "keys", "values", "items"}
PURE = {*_FUNCTIONS, *_TYPES, "isinstance", "issubclass", "type", "map", "zip", "enumerate"}  # they change nothing
# fmt: on
_LIMIT = 10_000  # longest text or sequence that is worked with


def evaluate(node: ast.expr, names: Mapping[str, Any], source: Source) -> Any:
    """Returns the value of an expression.

    Args:
        node: the expression.
        names: the values of local names; a name whose value is an ``Unknown`` class is known not to be known.
        source: the module, whose constants can be read too.

    Raises:
        Unknown: the expression needs more than plain values.
    """
    try:
        return _Evaluator(names, source).value(node)
    except Unknown:
        raise
    except Exception as error:  # e.g. a comparison of a number with a text: the real program fails there as well
        unknown = Unknown(str(error))
        unknown.error = error
        raise unknown from None


class _Evaluator:
    def __init__(self, names: Mapping[str, Any], source: Source, depth: int = 0) -> None:
        self.names, self.source, self.depth = names, source, depth

    def value(self, node: ast.expr) -> Any:
        match node:
            case ast.Constant(value=value):
                return value
            case ast.Name(id=name):
                return self._name(name)
            case ast.Tuple(elts=elts):
                return tuple(self._elements(elts))
            case ast.List(elts=elts):
                return self._elements(elts)
            case ast.Set(elts=elts):
                return set(self._elements(elts))
            case ast.Dict(keys=keys, values=values) if all(k is not None for k in keys):
                return {self.value(k): self._lenient(v) for k, v in zip(keys, values, strict=True) if k is not None}
            case ast.UnaryOp(op=op, operand=operand) if type(op) in _UNARY:
                return _UNARY[type(op)](self.value(operand))
            case ast.BinOp(op=op, left=left, right=right) if type(op) in _ARITHMETIC:
                return self._arithmetic(op, self.value(left), self.value(right))
            case ast.BoolOp(op=op, values=values):
                return self._boolean(isinstance(op, ast.Or), values)
            case ast.Compare():
                return self._compare(node)
            case ast.IfExp(test=test, body=body, orelse=orelse):
                return self.value(body if self.value(test) else orelse)
            case ast.Attribute():
                return self._attribute(node)
            case ast.Subscript(value=base, slice=index):
                return self._known(self.value(base)[self.value(index)])
            case ast.JoinedStr(values=values):
                return "".join(self._format(v) for v in values)
            case ast.GeneratorExp() | ast.ListComp() | ast.SetComp() if len(node.generators) == 1:
                return self._comprehension(node.elt, node.generators[0])
            case ast.Call():
                return self._call(node)
        raise Unknown(ast.unparse(node))

    def _lenient(self, node: ast.expr) -> Any:
        try:
            return self.value(node)
        except Unknown:
            return Unknown

    def _known(self, value: Any) -> Any:
        if value is Unknown:
            raise Unknown("")
        return value

    def _name(self, name: str) -> Any:
        if name in self.names:
            return self._known(self.names[name])
        if not is_near(self.source, name):
            raise Unknown(name)
        symbol = lookup(self.source, name)
        if isinstance(symbol, Value) and self.depth < 4:
            return _Evaluator({}, symbol.source, self.depth + 1).value(symbol.node)
        raise Unknown(name)

    def _attribute(self, node: ast.Attribute) -> Any:
        match node:
            case ast.Attribute(attr="__name__", value=ast.Call(func=ast.Name(id="type"), args=[argument])):
                owner = self.value(argument)
                return owner.owner if isinstance(owner, Fields) else type(owner).__name__
            case ast.Attribute(value=ast.Name() as name, attr=attr):
                owner = self.value(name)
                if isinstance(owner, Fields) and attr in owner:
                    return self._known(owner[attr])
        raise Unknown(ast.unparse(node))

    def _elements(self, nodes: list[ast.expr]) -> list[Any]:
        values: list[Any] = []
        for node in nodes:
            values += list(self.value(node.value)) if isinstance(node, ast.Starred) else [self.value(node)]
        return values

    def _arithmetic(self, op: ast.operator, left: Any, right: Any) -> Any:
        if isinstance(left, int | float) and isinstance(right, int | float) and abs(right) < _LIMIT:
            return _ARITHMETIC[type(op)](left, right)
        if isinstance(op, ast.Add) and len(left) + len(right) < _LIMIT:
            return left + right
        raise Unknown("arithmetic")

    def _boolean(self, is_or: bool, nodes: list[ast.expr]) -> Any:
        value = None
        for node in nodes:
            value = self.value(node)
            if bool(value) is is_or:
                return value
        return value

    def _compare(self, node: ast.Compare) -> bool:
        left = self.value(node.left)
        for op, right_node in zip(node.ops, node.comparators, strict=True):
            right = self.value(right_node)
            if not _COMPARE[type(op)](left, right):
                return False
            left = right
        return True

    def _format(self, node: ast.expr) -> str:
        if isinstance(node, ast.Constant):
            return str(node.value)
        assert isinstance(node, ast.FormattedValue)
        value = self._lenient(node.value)
        if value is Unknown:
            return "…"
        if node.conversion == ord("r"):
            return repr(value)
        spec = (
            "".join(str(v.value) for v in node.format_spec.values if isinstance(v, ast.Constant))
            if isinstance(node.format_spec, ast.JoinedStr)
            else ""
        )
        return format(value, spec)

    def _comprehension(self, element: ast.expr, loop: ast.comprehension) -> list[Any]:
        if not isinstance(loop.target, ast.Name):
            raise Unknown("comprehension")
        found = []
        for item in list(self.value(loop.iter))[:_LIMIT]:
            inner = _Evaluator({**self.names, loop.target.id: item}, self.source, self.depth)
            if all(inner.value(test) for test in loop.ifs):
                found.append(inner.value(element))
        return found

    def _call(self, node: ast.Call) -> Any:
        if node.keywords:
            raise Unknown("keywords")
        name = ast.unparse(node.func)
        if name in ("isinstance", "issubclass"):
            return isinstance(self.value(node.args[0]), self._types(node.args[1]))
        if name == "map":
            function, items = node.args
            return [_FUNCTIONS[ast.unparse(function)](item) for item in self.value(items)]
        if name in _FUNCTIONS and name not in self.names:
            return _FUNCTIONS[name](*[self.value(a) for a in node.args])
        if name in _LIBRARY:
            return _LIBRARY[name](*[self.value(a) for a in node.args])
        if isinstance(node.func, ast.Attribute) and node.func.attr in _METHODS:
            owner = self.value(node.func.value)
            if isinstance(owner, str | dict):
                found = getattr(owner, node.func.attr)(*[self.value(a) for a in node.args])
                return found if isinstance(found, str | bool) else list(found)
        raise Unknown(name)

    def _types(self, node: ast.expr) -> tuple[type, ...]:
        match node:
            case ast.Tuple(elts=elts):
                return tuple(t for e in elts for t in self._types(e))
            case ast.BinOp(op=ast.BitOr(), left=left, right=right):
                return self._types(left) + self._types(right)
            case ast.Name(id=name) if name in _TYPES:
                return (_TYPES[name],)
            case ast.Constant(value=None):
                return (type(None),)
        raise Unknown(ast.unparse(node))
