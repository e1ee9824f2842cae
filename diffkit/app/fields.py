"""What the page sends, read strictly: a mistake is answered with the field, what was given and what is allowed."""

import math
import re
from collections.abc import Sequence
from typing import Any

from diffkit.utils.near import did_you_mean

#: Longest text that is taken, in characters.
MAX_TEXT = 2000


class FieldError(ValueError):
    """A field of the page that cannot be used.

    Args:
        field: its name in the page.
        message: what was given and what is allowed.
    """

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field, self.message = field, message


class Fields:
    """The values of a form.

    Args:
        values: what was sent; anything but a JSON object is refused.
        within: begins the names of the fields in messages, such as "Model A".
    """

    def __init__(self, values: Any, within: str = "") -> None:
        if not isinstance(values, dict):
            raise FieldError(within or "request", f"given {_shown(values)}; allowed: an object with fields")
        self.values, self.within = values, within

    def label(self, name: str) -> str:
        """The name of a field as messages have it."""
        words = name.replace("_", " ")
        return f"{self.within}, {words}" if self.within else words

    def text(self, name: str, default: str | None = None) -> str:
        """A text without control characters; an empty one is the default, and an error where there is none."""
        value = self.values.get(name)
        if value is None or (isinstance(value, str) and not value.strip()):
            if default is None:
                raise FieldError(self.label(name), "is empty; give a text")
            return default
        if not isinstance(value, str):
            raise FieldError(self.label(name), f"given {_shown(value)}; allowed: a text")
        if len(value) > MAX_TEXT:
            raise FieldError(self.label(name), f"given {len(value)} characters; allowed: {MAX_TEXT} at most")
        if any(not letter.isprintable() for letter in value):
            raise FieldError(self.label(name), f"given {_shown(value)}; allowed: one line of printable characters")
        return value.strip()

    def whole(self, name: str, least: int, most: int, default: int | None = None) -> int:
        """A whole number from ``least`` to ``most``."""
        value = self.number(name, least, most, default)
        if value != int(value):
            raise FieldError(self.label(name), f"given {value:g}; allowed: whole numbers from {least} to {most}")
        return int(value)

    def number(self, name: str, least: float, most: float, default: float | None = None) -> float:
        """A number from ``least`` to ``most``; the default where the field is empty."""
        value = self.values.get(name)
        if value is None or value == "":
            if default is None:
                raise FieldError(self.label(name), f"is empty; allowed: numbers from {least:g} to {most:g}")
            return default
        if isinstance(value, str):
            try:
                value = float(value)
            except ValueError:
                value = None
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) \
                or not least <= value <= most:
            raise FieldError(
                self.label(name), f"given {_shown(self.values[name])}; allowed: numbers from {least:g} to {most:g}")
        return value

    def side(self, name: str, least: int, most: int) -> int | None:
        """A side of a picture in pixels, a multiple of 8; None where the field is empty."""
        if self.values.get(name) in (None, ""):
            return None
        value = self.whole(name, least, most)
        if value % 8:
            raise FieldError(self.label(name), f"given {value}; allowed: multiples of 8 from {least} to {most}, "
                             "or nothing for the model's own size")
        return value

    def choice(self, name: str, allowed: Sequence[str], default: str | None = None) -> str:
        """One of some words."""
        value = self.text(name, default)
        if value not in allowed:
            raise FieldError(self.label(name), f"given {_shown(value)}; allowed: {', '.join(allowed)}"
                             f"{did_you_mean(value, list(allowed))}")
        return value

    def items(self, name: str, most: int) -> list[Any]:
        """A list of at most ``most`` values; empty where there is none."""
        value = self.values.get(name)
        if value is None:
            return []
        if not isinstance(value, list):
            raise FieldError(self.label(name), f"given {_shown(value)}; allowed: a list")
        if len(value) > most:
            raise FieldError(self.label(name), f"given {len(value)}; allowed: {most} at most")
        return value


def file_name(text: str) -> bool:
    """Whether a text is the plain name of a file or folder: no separators, no hidden name, nothing odd."""
    return bool(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,119}", text)) and ".." not in text


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}…"
