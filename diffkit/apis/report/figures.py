"""Measured values with their spread and number, out of a flat dict of numbers."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_ENDS = ("_se", "_n")


@dataclass(frozen=True)
class Figure:
    """A measured value.

    Attributes:
        value: the value.
        error: its standard error, where the metric gives one.
        n: of how many samples, where the metric says it.
    """

    value: float
    error: float | None = None
    n: int | None = None

    def __str__(self) -> str:
        text = number(self.value)
        if self.error is not None:
            text += f" ± {number(self.error)}"
        return text + (f" (n = {self.n})" if self.n is not None else "")


def read_figures(values: Mapping[str, Any]) -> dict[str, Figure]:
    """Puts ``name``, ``name_se`` and ``name_n`` together; leaves out what is no finite number."""
    finite = {name: float(value) for name, value in values.items() if is_number(value)}
    figures = {}
    for name, value in finite.items():
        if name.endswith(_ENDS) and name.rpartition("_")[0] in finite:
            continue
        count = finite.get(f"{name}_n")
        figures[name] = Figure(value, finite.get(f"{name}_se"), None if count is None else int(count))
    return figures


def is_number(value: Any) -> bool:
    """Whether ``value`` is a finite number, and not a truth value."""
    try:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:  # an integer that no float can hold
        return False


def number(value: float) -> str:
    """Four digits, as people read them: ``0.9654``, ``12.3``, ``1,240``, ``2.1e-05``."""
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    if 1e-3 <= abs(value) < 9999.5:  # what is more has five digits when it is rounded
        return f"{value:.4g}"
    return f"{value:.3g}" if abs(value) < 1 else f"{value:,.0f}"


def count(value: float, unit: str = "") -> str:
    """A large number with a prefix of thousands: ``3.74 M``."""
    for prefix in ("", "k", "M", "G"):
        if abs(value) < 999.5:
            return f"{value:.3g} {prefix}{unit}".strip()
        value /= 1000
    return f"{value:.3g} T{unit}"
