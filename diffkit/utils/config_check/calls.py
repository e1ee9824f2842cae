"""The code that a call runs: a function, a method, an ``__init__``, or the fields of a dataclass."""

import ast
from dataclasses import dataclass, field
from functools import cached_property

from diffkit.utils.config_check.classes import Mro, decorator_names
from diffkit.utils.config_check.signatures import Signature, dataclass_fields
from diffkit.utils.config_check.source import Source
from diffkit.utils.config_check.symbols import Definition, Opaque

_NOTHING = ast.FunctionDef(
    "__post_init__",
    ast.arguments(posonlyargs=[], args=[ast.arg("self")], kwonlyargs=[], kw_defaults=[], defaults=[]),
    [ast.Pass()],
    [],
)


@dataclass(frozen=True)
class Code:
    """A function to walk through.

    Attributes:
        source: its module.
        node: its definition.
        owner: what was called, for messages.
        bound: whether its first argument is filled by Python.
        rest: the classes that ``super()`` means in it.
        mro: the classes of the object it belongs to.
        shares_self: whether it runs on the same object as its caller.
        fields: the arguments where they are the fields of a dataclass.
    """

    source: Source
    node: ast.FunctionDef | ast.AsyncFunctionDef
    owner: str
    bound: bool = False
    rest: Mro | None = None
    mro: Mro | None = None
    shares_self: bool = False
    fields: Signature | None = field(default=None, hash=False, compare=False)

    @property
    def is_dataclass(self) -> bool:
        """Whether the arguments are the fields of a dataclass."""
        return self.fields is not None

    @property
    def body(self) -> list[ast.stmt]:
        """Its statements."""
        return self.node.body

    @property
    def self_name(self) -> str:
        """The name of its first argument where Python fills it, else empty."""
        arguments = self._arguments
        return arguments[0].arg if self.bound and arguments else ""

    @cached_property
    def positional(self) -> list[str]:
        """The arguments that can be given by position."""
        if self.fields is not None:
            return list(self.fields.params)
        return [a.arg for a in self._arguments[1 if self.bound else 0 :]]

    @property
    def keyword_only(self) -> list[str]:
        """The arguments that can only be given by keyword."""
        return [] if self.fields is not None else [a.arg for a in self.node.args.kwonlyargs]

    @cached_property
    def defaults(self) -> dict[str, ast.expr]:
        """The defaults by argument."""
        if self.fields is not None:
            return {p.name: p.default for p in self.fields.params.values() if p.default is not None}
        args, arguments = self.node.args, self._arguments
        found = {a.arg: d for a, d in zip(arguments[len(arguments) - len(args.defaults) :], args.defaults, strict=True)}
        return found | {a.arg: d for a, d in zip(args.kwonlyargs, args.kw_defaults, strict=True) if d is not None}

    @cached_property
    def annotations(self) -> dict[str, ast.expr]:
        """The annotations by argument."""
        if self.fields is not None:
            return {p.name: p.annotation for p in self.fields.params.values() if p.annotation is not None}
        return {a.arg: a.annotation for a in [*self._arguments, *self.node.args.kwonlyargs] if a.annotation}

    @property
    def _arguments(self) -> list[ast.arg]:
        return [*self.node.args.posonlyargs, *self.node.args.args]


def function_code(target: Definition) -> Code:
    """Returns the code of a plain function."""
    return Code(target.source, target.node, target.node.name)  # type: ignore[arg-type]


def constructor_code(mro: Mro, whole: Mro | None = None) -> Code | None:
    """Returns what building an object runs, or None when it cannot be read.

    Args:
        mro: the classes in which ``__init__`` is looked for.
        whole: all classes of the object, when ``mro`` is what ``super()`` means in one of them.
    """
    for i, base in enumerate(mro):
        if isinstance(base, Opaque):
            return None
        methods = _methods(base)
        if "__init__" in methods:
            return Code(
                base.source,
                methods["__init__"],
                base.name,
                True,
                mro.after(i),
                whole or mro,
                whole is not None,
            )
        if "dataclass" in decorator_names(base.node):
            check = methods.get("__post_init__") or _NOTHING
            return Code(
                base.source,
                check,
                base.name,
                True,
                None,
                whole or mro,
                whole is not None,
                dataclass_fields(mro),
            )
    return None


def method_code(mro: Mro, name: str) -> Code | None:
    """Returns the code of a method as the object sees it, or None when it cannot be read."""
    for i, base in enumerate(mro):
        if isinstance(base, Opaque):
            return None
        method = _methods(base).get(name)
        if method is not None:
            kinds = decorator_names(method)
            if "classmethod" in kinds:
                return None
            return Code(base.source, method, name, "staticmethod" not in kinds, mro.after(i), mro, True)
    return None


def _methods(cls: Definition) -> dict[str, ast.FunctionDef]:
    return {node.name: node for node in cls.node.body if isinstance(node, ast.FunctionDef)}
