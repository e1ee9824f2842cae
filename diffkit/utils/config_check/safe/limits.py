"""Limits of the work that a config may ask for: a few short lines can otherwise fill the memory."""

import ast
import operator
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from diffkit.utils.config_check.faults import shown
from diffkit.utils.config_check.imported import is_imported

LIMIT = 100_000  # parts of a value (ten characters of a text are one), and steps of one config
BITS = 4_000  # of a whole number
_BINARY: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod, ast.Pow: operator.pow,
}  # fmt: skip


class NotData(Exception):
    """A piece of a config that has no plain value, or one that is too large.

    Attributes:
        line: its line, from 1.
        file: the file, where it is known.
    """

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line
        self.file: Path | None = None


class Budget:
    """The work that reading one config may take."""

    def __init__(self) -> None:
        self.left = LIMIT

    def spend(self, line: int, steps: int = 1) -> None:
        """Raises NotData when nothing is left."""
        self.left -= steps
        if self.left < 0:
            raise NotData(line, "this is too much work for a config")

    def measure(self, value: Any, line: int) -> None:
        """Raises NotData for a value that is too large, in itself or with all that is in it, or that holds itself."""
        if isinstance(value, int) and value.bit_length() > BITS:
            raise NotData(line, f"a number of {value.bit_length()} bits")
        size = parts_of(value)
        if size > LIMIT:
            raise NotData(line, f"a value of more than {LIMIT} parts")
        self.spend(line, size // 20)


def parts_of(value: Any) -> int:
    """Returns how many parts a value has, those of its parts included; counting ends above the limit."""
    count, waiting = 0, [value]
    while waiting and count <= LIMIT:
        part = waiting.pop()
        count += 1
        if isinstance(part, str | bytes):
            count += len(part) // 10
        elif isinstance(part, dict):
            count += _put(waiting, dict.keys(part), len(part)) + _put(waiting, dict.values(part), len(part))
        elif isinstance(part, list | tuple | set | frozenset):
            count += _put(waiting, part, len(part))
    return count


def _put(waiting: list[Any], parts: Iterable[Any], length: int) -> int:
    """Adds parts to those that wait, unless they are too many; returns what that alone counts."""
    if length > LIMIT:
        return length
    waiting.extend(parts)
    return 0


def binary(op: ast.operator, left: Any, right: Any, line: int) -> Any:
    """Returns the result of an operator between plain values, unless it would be very large.

    Raises:
        NotData: it would be, or these are no values for this operator.
    """
    numbers = isinstance(left, int | float) and isinstance(right, int | float)
    if numbers:
        if isinstance(op, ast.Pow) and (abs(right) > 64 or abs(left) > 1_000_000):
            raise NotData(line, "a power of large numbers")
        return _BINARY[type(op)](left, right)
    if isinstance(op, ast.Mult):
        count, parts = (left, right) if isinstance(left, int) else (right, left)
        if isinstance(count, int) and isinstance(parts, str | list | tuple):
            if parts_of(parts) * max(count, 0) > LIMIT:
                raise NotData(line, f"a value of more than {LIMIT} parts")
            return parts * count
    elif isinstance(op, ast.Mod) and isinstance(left, str | bytes):
        raise NotData(line, "a text made with %; write an f-string")
    elif isinstance(op, ast.Add | ast.Sub) and not is_imported(left) and not is_imported(right):
        return _BINARY[type(op)](left, right)
    raise NotData(line, f"an operator between {shown(left)} and {shown(right)}")
