"""The arguments that a class or function takes, read from its source."""

import ast
from collections.abc import Iterable
from dataclasses import dataclass, replace

from diffkit.utils.config_check.classes import (
    Base,
    Mro,
    base_names,
    decorator_names,
    linearize,
    resolve_expression,
)
from diffkit.utils.config_check.source import Source
from diffkit.utils.config_check.symbols import Definition, Opaque

_READERS = {"pop", "get", "setdefault"}  # methods of a dict that name the one key they read


@dataclass(frozen=True)
class Param:
    """One argument.

    Attributes:
        name: its name.
        annotation: its type as written, or None.
        default: its default as written, or None when there is none.
        required: whether a call must give it.
        positional: whether it can be given by position.
        source: the module in whose names the annotation is written.
    """

    name: str
    annotation: ast.expr | None
    default: ast.expr | None
    required: bool
    positional: bool
    source: Source


@dataclass(frozen=True)
class Signature:
    """The arguments of one callable.

    Attributes:
        name: the callable, for messages.
        params: its arguments by name, in order.
        open: whether it may take more keywords than these.
        module: the module that defines it.
    """

    name: str
    params: dict[str, Param]
    open: bool = False
    module: str = ""

    def without(self, names: Iterable[str]) -> "Signature":
        """Returns the signature less some arguments."""
        gone = set(names)
        return replace(self, params={k: p for k, p in self.params.items() if k not in gone})

    def with_open(self) -> "Signature":
        """Returns the signature that takes further keywords."""
        return replace(self, open=True)


def signature_of(target: Definition) -> Signature:
    """Returns the arguments of a call of ``target``: a class, a function, or a method of a class."""
    node = target.node
    if isinstance(node, ast.ClassDef):
        found = _constructor(linearize(target))
    else:
        bound = target.owner is not None and "classmethod" in decorator_names(node)
        found = _function(target.source, node, bound, target.owner, None)
    return replace(found, name=target.name, module=target.source.name)


def _constructor(mro: Mro) -> Signature:
    """Returns the arguments of the first ``__init__`` in the order of the bases."""
    for i, base in enumerate(mro):
        if isinstance(base, Opaque):
            return Signature("", {}, open=True)
        assert isinstance(base.node, ast.ClassDef)
        for node in base.node.body:
            if isinstance(node, ast.FunctionDef) and node.name == "__init__":
                return _function(base.source, node, True, None, mro.after(i))
        if "dataclass" in decorator_names(base.node):
            return dataclass_fields(mro)
        if "NamedTuple" in base_names(base.node):
            return Signature("", dict(_own_fields(base)))
        if _defines(base, "__new__"):
            return Signature("", {}, open=True)
    return Signature("", {})


def _function(
    source: Source,
    node: ast.FunctionDef | ast.AsyncFunctionDef,
    bound: bool,
    owner: Definition | None,
    rest: Mro | None,
) -> Signature:
    params = _params(source, node.args)
    if bound and params:
        params.pop(next(iter(params)))
    if node.args.kwarg is None:
        return Signature("", params)
    use = _KeywordUse(node, node.args.kwarg.arg)
    for name in use.names:
        params.setdefault(name, Param(name, None, None, False, False, source))
    extra = _forwarded(source, use, owner, rest)
    for name, param in extra.params.items():
        params.setdefault(name, param)
    return Signature("", params, open=use.escapes or extra.open)


def _forwarded(source: Source, use: "_KeywordUse", owner: Definition | None, rest: Mro | None) -> Signature:
    """Returns the arguments of the calls that get the ``**kwargs``, less those that the calls fill in."""
    params: dict[str, Param] = {}
    is_open = False
    for call in use.calls:
        target = _call_target(source, call, owner, rest)
        if target is None:
            return Signature("", {}, open=True)
        positional = [p.name for p in target.params.values() if p.positional]
        given = sum(not isinstance(a, ast.Starred) for a in call.args)
        if isinstance(call.func, ast.Attribute) and not _is_super(call.func.value) and call.func.attr == "__init__":
            given -= 1  # Base.__init__(self, …)
        named = [k.arg for k in call.keywords if k.arg]
        target = target.without([*positional[: max(given, 0)], *named])
        params.update(target.params)
        is_open |= target.open
    return Signature("", params, is_open)


def _call_target(source: Source, call: ast.Call, owner: Definition | None, rest: Mro | None) -> Signature | None:
    func = call.func
    if isinstance(func, ast.Name) and func.id == "cls" and owner is not None:
        return _constructor(linearize(owner))
    if isinstance(func, ast.Attribute) and func.attr == "__init__":
        if _is_super(func.value):
            return _constructor(rest) if rest is not None else None
        func = func.value
    elif isinstance(func, ast.Attribute) and _is_super(func.value):
        return None
    symbol = resolve_expression(source, func)
    return signature_of(symbol) if isinstance(symbol, Definition) else None


def _is_super(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "super"


class _KeywordUse:
    """What a function does with its ``**kwargs``.

    Attributes:
        calls: the calls it hands them to as ``**kwargs``.
        names: the keys it reads by name.
        escapes: whether it does anything else, so that any key may be meant.
    """

    def __init__(self, node: ast.FunctionDef | ast.AsyncFunctionDef, name: str) -> None:
        self.calls: list[ast.Call] = []
        self.names: list[str] = []
        self._understood: set[int] = set()
        self._name = name
        for child in ast.walk(node):
            self._see(child)
        uses = [n for n in ast.walk(node) if self._is_kwargs(n)]
        self.escapes = any(id(use) not in self._understood for use in uses)

    def _is_kwargs(self, node: ast.AST) -> bool:
        return isinstance(node, ast.Name) and node.id == self._name

    def _see(self, node: ast.AST) -> None:
        match node:
            case ast.Call(func=ast.Attribute(value=value, attr=attr), args=[ast.Constant(value=str(key)), *_]) if (
                attr in _READERS and self._is_kwargs(value)
            ):
                self._take(value, key)
            case ast.Subscript(value=value, slice=ast.Constant(value=str(key))) if self._is_kwargs(value):
                self._take(value, key)
            case ast.Compare(left=ast.Constant(value=str(key)), comparators=[value]) if self._is_kwargs(value):
                self._take(value, key)
            case ast.Call(keywords=keywords):
                for keyword in keywords:
                    if keyword.arg is None and self._is_kwargs(keyword.value):
                        self.calls.append(node)
                        self._understood.add(id(keyword.value))

    def _take(self, value: ast.AST, key: str) -> None:
        self.names.append(key)
        self._understood.add(id(value))


def _params(source: Source, args: ast.arguments) -> dict[str, Param]:
    positional = [*args.posonlyargs, *args.args]
    defaults: list[ast.expr | None] = [None] * (len(positional) - len(args.defaults))
    defaults += args.defaults
    found = [Param(a.arg, a.annotation, d, d is None, True, source) for a, d in zip(positional, defaults, strict=True)]
    found += [
        Param(a.arg, a.annotation, d, d is None, False, source)
        for a, d in zip(args.kwonlyargs, args.kw_defaults, strict=True)
    ]
    return {p.name: p for p in found}


def dataclass_fields(classes: Iterable[Base]) -> Signature:
    """Returns the arguments of a dataclass: its fields and those of its dataclass bases, bases first.

    A base with ``__init_subclass__`` may make dataclasses of all that inherit from it, as in transformers.
    """
    params: dict[str, Param] = {}
    mro = list(classes)
    is_open = any(isinstance(base, Opaque) for base in mro)
    makes_all = any(isinstance(base, Definition) and _defines(base, "__init_subclass__") for base in mro)
    for base in reversed(mro):
        if isinstance(base, Definition) and (makes_all or "dataclass" in decorator_names(base.node)):
            params.update(_own_fields(base))
    return Signature("", params, is_open or makes_all)


def _defines(cls: Definition, name: str) -> bool:
    return any(isinstance(node, ast.FunctionDef) and node.name == name for node in cls.node.body)


def _own_fields(cls: Definition) -> Iterable[tuple[str, Param]]:
    assert isinstance(cls.node, ast.ClassDef)
    for node in cls.node.body:
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
            continue
        if "ClassVar" in ast.unparse(node.annotation):
            continue
        default = node.value
        if isinstance(default, ast.Call) and ast.unparse(default.func).endswith("field"):
            options = {k.arg: k.value for k in default.keywords}
            init = options.get("init")
            if isinstance(init, ast.Constant) and init.value is False:
                continue
            default = options.get("default") or options.get("default_factory")
        yield (
            node.target.id,
            Param(node.target.id, node.annotation, default, default is None, True, cls.source),
        )
