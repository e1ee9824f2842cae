"""Does a value fit an annotation? Judged on the annotation's text, without importing the types it names."""

import ast
import os
from typing import Any

from diffkit.utils.config_check.classes import base_names, resolve_expression
from diffkit.utils.config_check.source import Source
from diffkit.utils.config_check.symbols import Definition, Value

_SCALARS = {"int": int, "float": float, "str": str, "bool": bool, "bytes": bytes, "complex": complex}
_SEQUENCES = {"list", "List", "tuple", "Tuple", "Sequence", "Iterable", "Collection", "MutableSequence"}
_SETS = {"set", "Set", "frozenset", "FrozenSet"}
_MAPPINGS = {"dict", "Dict", "Mapping", "MutableMapping", "ConfigDict", "OrderedDict", "TypedDict"}
_PATHS = {"Path", "PathLike", "PurePath"}
_ANYTHING = {"Any", "object"}
_OBJECTS = {"Tensor", "Module", "Optimizer", "DataLoader", "Dataset", "Sampler", "Runner", "Generator"}
_WRAPPERS = {"Annotated", "Final", "Required", "NotRequired", "ClassVar"}
_DEPTH = 8  # aliases followed inside one another


def fits(value: Any, annotation: ast.expr, source: Source) -> bool:
    """Returns whether a value of a config can be what the annotation asks for.

    Lists pass for tuples and the other way round, whole numbers for ``float``, strings for ``Path``, and a
    dict or a class for any object. An annotation that cannot be understood is fitted by everything.

    Args:
        value: the plain value of the config.
        annotation: the type as written in the source.
        source: the module in which it is written.
    """
    return _Judge(source).fits(value, annotation, 0)


def misfits(value: Any, annotation: ast.expr, source: Source) -> list[str]:
    """Returns the keys or indexes of the parts that keep a dict or list from fitting; empty when it is the
    whole.

    Args:
        value: a value that does not fit.
        annotation: the type as written in the source.
        source: the module in which it is written.
    """
    judge = _Judge(source)
    parts = (
        list(value.items())
        if isinstance(value, dict)
        else list(enumerate(value))
        if isinstance(value, list | tuple)
        else []
    )
    for option in judge.options(annotation):
        element = judge.element(option, isinstance(value, dict))
        if element is not None:
            return [str(key) for key, part in parts if not judge.fits(part, element, 0)]
    return []


def fits_default(value: Any, default: Any) -> bool:
    """Returns whether a value can stand where an argument without annotation has this default."""
    if isinstance(default, bool):
        return value is None or isinstance(value, bool)
    if isinstance(default, int | float):
        return value is None or (isinstance(value, int | float) and not isinstance(value, bool))
    return True


def allowed_literals(annotation: ast.expr, source: Source) -> list[Any]:
    """Returns the values that the ``Literal``s of an annotation allow."""
    return _Judge(source).literals(annotation, 0)


def as_text(annotation: ast.expr) -> str:
    """Returns the annotation as a user reads it."""
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        return annotation.value
    return ast.unparse(annotation).replace("typing.", "")


class _Judge:
    def __init__(self, source: Source) -> None:
        self.source = source

    def fits(self, value: Any, node: ast.expr, depth: int) -> bool:
        if depth > _DEPTH:
            return True
        match node:
            case ast.Constant(value=None):
                return value is None
            case ast.Constant(value=str(text)):
                parsed = _parse(text)
                return parsed is None or self.fits(value, parsed, depth + 1)
            case ast.BinOp(op=ast.BitOr(), left=left, right=right):
                return self.fits(value, left, depth) or self.fits(value, right, depth)
            case ast.Subscript(value=base, slice=inner):
                return self._fits_generic(value, _tail(base), _elements(inner), depth)
            case ast.Name() | ast.Attribute():
                return self._fits_name(value, node, depth)
        return True

    def options(self, node: ast.expr) -> list[ast.expr]:
        """Returns the alternatives of an annotation."""
        match node:
            case ast.Constant(value=str(text)):
                parsed = _parse(text)
                return [] if parsed is None else self.options(parsed)
            case ast.BinOp(left=left, right=right):
                return self.options(left) + self.options(right)
            case ast.Subscript(value=base, slice=inner) if _tail(base) in ("Optional", "Union"):
                return [option for e in _elements(inner) for option in self.options(e)]
        return [node]

    def element(self, node: ast.expr, of_dict: bool) -> ast.expr | None:
        """Returns the type of the parts of a dict or of a list, if the annotation says it."""
        if not isinstance(node, ast.Subscript):
            return None
        name, inner = _tail(node.value), _elements(node.slice)
        if of_dict:
            return inner[1] if name in _MAPPINGS and len(inner) == 2 else None
        is_list = name in _SEQUENCES and (name not in ("tuple", "Tuple") or len(inner) == 1)
        return inner[0] if is_list else None

    def literals(self, node: ast.expr, depth: int) -> list[Any]:
        if depth > _DEPTH:
            return []
        match node:
            case ast.Constant(value=str(text)):
                parsed = _parse(text)
                return [] if parsed is None else self.literals(parsed, depth + 1)
            case ast.BinOp(left=left, right=right):
                return self.literals(left, depth) + self.literals(right, depth)
            case ast.Subscript(value=base, slice=inner) if _tail(base) == "Literal":
                return [e.value for e in _elements(inner) if isinstance(e, ast.Constant)]
            case ast.Subscript(value=base, slice=inner) if _tail(base) in ("Optional", "Union"):
                return [v for e in _elements(inner) for v in self.literals(e, depth + 1)]
            case ast.Name() | ast.Attribute():
                symbol = resolve_expression(self.source, node)
                if isinstance(symbol, Value):
                    return _Judge(symbol.source).literals(symbol.node, depth + 1)
        return []

    def _fits_generic(self, value: Any, name: str, inner: list[ast.expr], depth: int) -> bool:
        def every(values: Any, node: ast.expr) -> bool:
            return all(self.fits(v, node, depth + 1) for v in values)

        if name == "Literal":
            allowed = [e.value for e in inner if isinstance(e, ast.Constant)]
            return len(allowed) < len(inner) or any(type(a) is type(value) and a == value for a in allowed)
        if name == "Optional":
            return value is None or self.fits(value, inner[0], depth + 1)
        if name == "Union":
            return any(self.fits(value, e, depth + 1) for e in inner)
        if name in _WRAPPERS:
            return self.fits(value, inner[0], depth + 1)
        if name in ("tuple", "Tuple"):
            return isinstance(value, list | tuple) and self._fits_tuple(value, inner, depth)
        if name in _SEQUENCES:
            return isinstance(value, list | tuple) and every(value, inner[0])
        if name in _SETS:
            return isinstance(value, list | tuple | set | frozenset) and every(value, inner[0])
        if name in _MAPPINGS:
            # A dict with a type stands for an object that is built later, which may be a mapping.
            return isinstance(value, dict) and (
                "type" in value or len(inner) < 2 or (every(value, inner[0]) and every(value.values(), inner[1]))
            )
        if name in ("type", "Type", "Callable"):
            return not isinstance(value, int | float)
        return True

    def _fits_tuple(self, value: Any, inner: list[ast.expr], depth: int) -> bool:
        # tuple[str] means one element, but diffusers writes it for any number.
        if len(inner) == 1 or (isinstance(inner[1], ast.Constant) and inner[1].value is Ellipsis):
            return all(self.fits(v, inner[0], depth + 1) for v in value)
        return len(value) == len(inner) and all(
            self.fits(v, node, depth + 1) for v, node in zip(value, inner, strict=True)
        )

    def _fits_name(self, value: Any, node: ast.Name | ast.Attribute, depth: int) -> bool:
        name = _tail(node)
        if name in _ANYTHING:
            return True
        if name in _SCALARS:
            return _fits_scalar(value, _SCALARS[name])
        if name in _PATHS:
            return isinstance(value, str | os.PathLike)
        if name in _SEQUENCES:
            return isinstance(value, list | tuple)
        if name in _SETS:
            return isinstance(value, list | tuple | set | frozenset)
        if name in _MAPPINGS:
            return isinstance(value, dict)
        if name in _OBJECTS:
            return _can_be_object(value) and (not isinstance(value, dict) or "type" in value)
        if name == "Callable":
            return not isinstance(value, int | float)
        symbol = resolve_expression(self.source, node)
        if isinstance(symbol, Value):
            return _Judge(symbol.source).fits(value, symbol.node, depth + 1)
        if isinstance(symbol, Definition) and isinstance(symbol.node, ast.ClassDef) and not base_names(symbol.node):
            return _can_be_object(value)
        return True


def _fits_scalar(value: Any, kind: type) -> bool:
    if _is_built_later(value):
        return False
    if kind in (int, float, complex) and isinstance(value, bool):
        return False
    if kind is float:
        return isinstance(value, int | float)
    return isinstance(value, kind)


def _is_built_later(value: Any) -> bool:
    return isinstance(value, dict)


def _can_be_object(value: Any) -> bool:
    return value is not None and not isinstance(value, int | float | str | bool | list | tuple)


def _elements(node: ast.expr) -> list[ast.expr]:
    return list(node.elts) if isinstance(node, ast.Tuple) else [node]


def _tail(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _parse(text: str) -> ast.expr | None:
    try:
        return ast.parse(text, mode="eval").body
    except SyntaxError:
        return None
