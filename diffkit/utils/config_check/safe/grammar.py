"""What a config may be made of to be data: every other statement and expression is refused, with its line."""

import ast
import builtins
from collections.abc import Iterator
from typing import NamedTuple

from diffkit.utils.config_check.faults import shown

#: Functions that make plain values of plain values, and change nothing.
FUNCTIONS = {
    "abs", "all", "any", "bool", "dict", "enumerate", "float", "int", "len", "list", "max", "min", "range", "round",
    "set", "sorted", "str", "sum", "tuple", "zip",
}  # fmt: skip
#: Methods of dicts, lists and texts that give or take plain values.
METHODS = {
    "append", "copy", "count", "endswith", "extend", "get", "index", "insert", "items", "join", "keys", "lower",
    "lstrip", "pop", "remove", "removeprefix", "removesuffix", "replace", "reverse", "rstrip", "setdefault", "split",
    "startswith", "strip", "update", "upper", "values",
}  # fmt: skip
OPERATORS = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow)
_SIGNS = (ast.Not, ast.USub, ast.UAdd)
_PLAIN = (
    ast.Tuple, ast.List, ast.Set, ast.Dict, ast.Starred, ast.BoolOp, ast.Compare, ast.IfExp, ast.Subscript, ast.Slice,
    ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp, ast.comprehension, ast.JoinedStr, ast.keyword,
)  # fmt: skip
_CONTEXT = (ast.expr_context, ast.operator, ast.unaryop, ast.boolop, ast.cmpop)
_WORDS = {
    ast.FunctionDef: "a function", ast.AsyncFunctionDef: "a function", ast.ClassDef: "a class", ast.For: "a loop",
    ast.AsyncFor: "a loop", ast.While: "a loop", ast.If: "an if statement", ast.Try: "a try statement",
    ast.TryStar: "a try statement", ast.With: "a with block other than `with read_base():`", ast.Assert: "an assert",
    ast.AsyncWith: "a with block other than `with read_base():`", ast.Match: "a match statement", ast.Raise: "a raise",
    ast.AnnAssign: "an annotation", ast.Lambda: "a lambda", ast.NamedExpr: "an assignment inside an expression",
    ast.Await: "an await", ast.Yield: "a yield", ast.YieldFrom: "a yield", ast.Global: "a global statement",
}  # fmt: skip


class Refusal(NamedTuple):
    """A piece of a config that is not data: its line, from 1, and what it is."""

    line: int
    what: str


def refusals(tree: ast.Module) -> list[Refusal]:
    """Returns all that is not data in a config, in the order of its lines. Imports are judged elsewhere."""
    found = [refusal for statement in tree.body for refusal in _statement(statement)]
    return sorted(dict.fromkeys(found))


def is_read_base(node: ast.stmt) -> bool:
    """Returns whether a statement is ``with read_base():``."""
    match node:
        case ast.With(items=[ast.withitem(ast.Call(ast.Name("read_base"), [], []), None)]):
            return True
    return False


def hidden(name: str) -> bool:
    """Returns whether a name is one of Python's own, between two underscores."""
    return name.startswith("__")


def _statement(node: ast.stmt) -> Iterator[Refusal]:
    match node:
        case ast.Import() | ast.ImportFrom() | ast.Pass() | ast.Expr(ast.Constant(str())):
            return
        case ast.With(body=body) if is_read_base(node):
            for inner in body:
                if not isinstance(inner, ast.ImportFrom):
                    yield Refusal(inner.lineno, f"{_name(inner)} inside `with read_base():`")
        case ast.Assign(targets=targets, value=value):
            for target in targets:
                yield from _target(target)
            yield from _expression(value)
        case ast.AugAssign(target=target, op=op, value=value) if isinstance(op, OPERATORS):
            yield from _target(target)
            yield from _expression(value)
        case ast.Delete(targets=targets):
            for target in targets:
                yield from _target(target)
        case ast.Expr(ast.Call() as call):
            yield from _expression(call)
        case _:
            yield Refusal(node.lineno, _name(node))


def _target(node: ast.expr) -> Iterator[Refusal]:
    match node:
        case ast.Name(id=name):
            if hidden(name) or name == "_base_":
                yield Refusal(node.lineno, f'the name "{name}"')
            elif name in FUNCTIONS or name == "read_base":
                yield Refusal(node.lineno, f'another meaning for "{name}"')
        case ast.Tuple(elts=elts) | ast.List(elts=elts):
            for element in elts:
                yield from _target(element)
        case ast.Attribute() | ast.Subscript():
            yield from _expression(node)
        case _:
            yield Refusal(node.lineno, _name(node))


def _expression(node: ast.AST) -> Iterator[Refusal]:
    line = getattr(node, "lineno", 0)
    match node:
        case ast.Constant(value=value):
            if value is not None and not isinstance(value, str | int | float | bytes):
                yield Refusal(line, f"the constant {shown(value)}")
            return
        case ast.Name(id=name):
            yield from _own(name, line, called=False)
            return
        case ast.Attribute(attr=name) if hidden(name):
            yield Refusal(line, f'the attribute "{name}"')
        case ast.Call(func=func):
            yield from _call(func)
            for argument in (*node.args, *node.keywords):
                yield from _expression(argument)
            return
        case ast.FormattedValue(format_spec=spec) if spec is not None:
            yield Refusal(line, "a format in an f-string")
            return
        case ast.comprehension(is_async=True):
            yield Refusal(node.target.lineno, "an async comprehension")
        case ast.comprehension(target=target):
            yield from _target(target)
            for part in (node.iter, *node.ifs):
                yield from _expression(part)
            return
        case ast.BinOp(op=op) if not isinstance(op, OPERATORS):
            yield Refusal(line, f"the operator of `{_short(node)}`")
        case ast.UnaryOp(op=op) if not isinstance(op, _SIGNS):
            yield Refusal(line, f"the operator of `{_short(node)}`")
        case ast.Attribute() | ast.FormattedValue() | ast.BinOp() | ast.UnaryOp():
            pass
        case _ if not isinstance(node, _PLAIN + _CONTEXT):
            yield Refusal(line, _name(node))
            return
    for child in ast.iter_child_nodes(node):
        yield from _expression(child)


def _call(func: ast.expr) -> Iterator[Refusal]:
    match func:
        case ast.Name(id=name):
            yield from _own(name, func.lineno, called=True)
        case ast.Attribute(value=owner, attr=name) if name in METHODS:
            yield from _expression(owner)
        case _:
            yield Refusal(func.lineno, f"a call of {_short(func)}")
            yield from _expression(func)


def _own(name: str, line: int, called: bool) -> Iterator[Refusal]:
    """Judges a name: Python's own functions may be called if they are harmless, and be no values."""
    if called and name not in FUNCTIONS:
        yield Refusal(line, f"a call of {name}" + ("" if hasattr(builtins, name) else f": write dict(type={name}, …)"))
    elif not called and (hidden(name) or hasattr(builtins, name)):
        yield Refusal(line, f'the name "{name}"')


def _name(node: ast.AST) -> str:
    return _WORDS.get(type(node), f"`{_short(node)}`")  # type: ignore[call-overload]


def _short(node: ast.AST) -> str:
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= 60 else f"{text[:59]}…"
