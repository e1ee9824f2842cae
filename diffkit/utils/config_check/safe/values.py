"""Works out the expressions of a config, which ``grammar`` has found to be data, without running them."""

import ast
import operator
from collections.abc import Callable, ItemsView, Iterator, KeysView, Mapping, ValuesView
from typing import Any

from mmengine.config import ConfigDict
from mmengine.config.lazy import LazyAttr

from diffkit.utils.config_check.faults import shown
from diffkit.utils.config_check.imported import is_imported
from diffkit.utils.config_check.safe.limits import LIMIT, Budget, NotData, binary, parts_of

# fmt: off
_COMPARE: dict[type, Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt,
    ast.GtE: operator.ge, ast.Is: operator.is_, ast.IsNot: operator.is_not,
    ast.In: lambda a, b: a in b, ast.NotIn: lambda a, b: a not in b}
_UNARY: dict[type, Callable[[Any], Any]] = {ast.Not: operator.not_, ast.USub: operator.neg, ast.UAdd: operator.pos}
_FUNCTIONS: dict[str, Callable[..., Any]] = {f.__name__: f for f in (  # type: ignore[attr-defined]
    abs, all, any, bool, dict, enumerate, float, int, len, list, max, min, range, round, set, sorted, str, sum, tuple,
    zip)}
# fmt: on


class Values:
    """Works out expressions with the names of a config.

    Args:
        names: the value of each name.
        budget: what may be spent.
    """

    def __init__(self, names: Mapping[str, Any], budget: Budget) -> None:
        self.names, self.budget = names, budget

    def of(self, node: ast.expr) -> Any:
        """Returns the value of an expression.

        Raises:
            NotData: it has none.
        """
        self.budget.spend(node.lineno)
        try:
            value = self._value(node)
        except NotData:
            raise
        except Exception as error:
            raise NotData(node.lineno, f"{type(error).__name__}: {error}") from None
        self.budget.measure(value, node.lineno)
        return value

    def _value(self, node: ast.expr) -> Any:
        match node:
            case ast.Constant(value=value):
                return value
            case ast.Name(id=name):
                if name not in self.names:
                    raise NotData(node.lineno, f'nothing is called "{name}" here: neither imported nor set')
                return self.names[name]
            case ast.Attribute(value=owner, attr=name):
                return attribute(self.of(owner), name, node.lineno)
            case ast.Subscript(value=owner, slice=ast.Slice() as cut):
                low, high, step = (None if n is None else self.of(n) for n in (cut.lower, cut.upper, cut.step))
                return self._sequence(owner)[low:high:step]
            case ast.Subscript(value=owner, slice=index):
                return self.of(owner)[self.of(index)]
            case ast.Tuple(elts=elts):
                return tuple(self._elements(elts))
            case ast.List(elts=elts):
                return self._elements(elts)
            case ast.Set(elts=elts):
                return set(self._elements(elts))
            case ast.Dict(keys=keys, values=values):
                return self._dict(keys, values)
            case ast.UnaryOp(op=op, operand=operand):
                return _UNARY[type(op)](self.of(operand))
            case ast.BinOp(op=op, left=left, right=right):
                return binary(op, self.of(left), self.of(right), node.lineno)
            case ast.BoolOp(op=op, values=values):
                return self._boolean(isinstance(op, ast.Or), values)
            case ast.Compare():
                return self._compare(node)
            case ast.IfExp(test=test, body=body, orelse=orelse):
                return self.of(body if self.of(test) else orelse)
            case ast.JoinedStr(values=parts):
                return "".join(self._text(part) for part in parts)
            case ast.ListComp(elt=elt, generators=loops) | ast.GeneratorExp(elt=elt, generators=loops):
                return [inner.of(elt) for inner in self._rounds(loops)]
            case ast.SetComp(elt=elt, generators=loops):
                return {inner.of(elt) for inner in self._rounds(loops)}
            case ast.DictComp(key=key, value=value, generators=loops):
                return {inner.of(key): inner.of(value) for inner in self._rounds(loops)}
            case ast.Call():
                return self._call(node)
        raise NotData(node.lineno, f"`{ast.unparse(node)}` is not data")

    def _sequence(self, node: ast.expr) -> Any:
        value = self.of(node)
        if not isinstance(value, str | list | tuple):
            raise NotData(node.lineno, f"{shown(value)} has no parts that can be cut out")
        return value

    def _elements(self, nodes: list[ast.expr]) -> list[Any]:
        values: list[Any] = []
        for node in nodes:
            values += list(self.of(node.value)) if isinstance(node, ast.Starred) else [self.of(node)]
        return values

    def _dict(self, keys: list[ast.expr | None], values: list[ast.expr]) -> dict[Any, Any]:
        found: dict[Any, Any] = {}
        for key, value in zip(keys, values, strict=True):
            if key is None:
                found |= _plain(self.of(value))
            else:
                found[self.of(key)] = self.of(value)
        return found

    def _boolean(self, is_or: bool, nodes: list[ast.expr]) -> Any:
        value = None
        for node in nodes:
            value = self.of(node)
            if bool(value) is is_or:
                return value
        return value

    def _compare(self, node: ast.Compare) -> bool:
        left = self.of(node.left)
        for op, right_node in zip(node.ops, node.comparators, strict=True):
            right = self.of(right_node)
            if not _COMPARE[type(op)](left, right):
                return False
            left = right
        return True

    def _text(self, node: ast.expr) -> str:
        if isinstance(node, ast.Constant):
            return str(node.value)
        assert isinstance(node, ast.FormattedValue)
        value = self.of(node.value)
        if not isinstance(value, str | int | float | None):
            raise NotData(node.lineno, f"a text made of {shown(value)}, which is no text or number")
        return repr(value) if node.conversion in (ord("r"), ord("a")) else str(value)

    def _rounds(self, loops: list[ast.comprehension]) -> Iterator["Values"]:
        loop, *rest = loops
        for item in list(self.of(loop.iter)):
            names = dict(self.names)
            assign_name(names, loop.target, item)
            inner = Values(names, self.budget)
            if all(inner.of(test) for test in loop.ifs):
                if rest:
                    yield from inner._rounds(rest)
                else:
                    yield inner

    def _call(self, node: ast.Call) -> Any:
        args = self._elements(node.args)
        keywords: dict[str, Any] = {}
        for keyword in node.keywords:
            keywords |= {keyword.arg: self.of(keyword.value)} if keyword.arg else _plain(self.of(keyword.value))
        if isinstance(node.func, ast.Name):
            return self._function(node.func.id, args, keywords, node.lineno)
        assert isinstance(node.func, ast.Attribute)
        owner, name = self.of(node.func.value), node.func.attr
        if not isinstance(owner, dict | list | tuple | str):
            raise NotData(node.lineno, f"a call of {ast.unparse(node.func)}: {shown(owner)} is no dict, list or text")
        if name in ("join", "replace"):
            longest = max((len(text) for text in (owner, *args) if isinstance(text, str)), default=0)
            self.budget.spend(node.lineno, (1 + longest) * max(parts_of(owner), parts_of(args)) // 20)
        found = getattr(owner, name)(*args, **keywords)
        self.budget.measure(owner, node.lineno)
        return list(found) if isinstance(found, KeysView | ValuesView | ItemsView) else found

    def _function(self, name: str, args: list[Any], keywords: dict[str, Any], line: int) -> Any:
        if name == "str" and not all(isinstance(argument, str | int | float | None) for argument in args):
            raise NotData(line, "a text made of something that is no text or number")
        found = _FUNCTIONS[name](*args, **keywords)
        if isinstance(found, range) and len(found) > LIMIT:
            raise NotData(line, f"a value of more than {LIMIT} parts")
        return list(found) if isinstance(found, range | enumerate | zip) else found


def attribute(owner: Any, name: str, line: int) -> Any:
    """Returns ``owner.name``: a key of a dict of a base, or a part of something imported.

    Raises:
        NotData: neither.
    """
    if is_imported(owner):
        return LazyAttr(name, owner, getattr(owner, "location", None))
    if not isinstance(owner, ConfigDict):
        raise NotData(line, f'{shown(owner)} has no "{name}"; in a dict of this file write ["{name}"]')
    if name not in owner:
        raise NotData(line, f'there is no key "{name}" to read or change')
    return owner[name]


def assign_name(names: dict[str, Any], target: ast.expr, value: Any) -> None:
    """Gives names, one or several in a tuple, their values."""
    if isinstance(target, ast.Name):
        names[target.id] = value
        return
    if not isinstance(target, ast.Tuple | ast.List):
        raise NotData(target.lineno, f"`{ast.unparse(target)}` is no name")
    parts = list(value)
    if len(parts) != len(target.elts):
        raise NotData(target.lineno, f"{len(target.elts)} names for {len(parts)} values")
    for element, part in zip(target.elts, parts, strict=True):
        assign_name(names, element, part)


def _plain(value: Any) -> dict[Any, Any]:
    return dict(dict.items(value))
