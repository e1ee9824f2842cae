"""Values given on the command line as ``key=value``.

MMEngine's own parser drops the blanks of a text (``prompt=a photo of a dog`` becomes ``aphotoofadog``) and
cuts it at commas; this one follows its rules otherwise.
"""

import ast
from typing import Any

_WORDS = {
    "true": True,
    "false": False,
    "none": None,
    "inf": float("inf"),
    "-inf": float("-inf"),
    "nan": float("nan"),
}
_BRACKETS = {"[": "]", "(": ")"}
_OPEN, _CLOSE = "[({", "])}"


def parse_overrides(options: list[str] | None) -> dict[str, Any]:
    """Turns ``["a.b=1", "c=[x,y]"]`` into ``{"a.b": 1, "c": ["x", "y"]}``; a later one replaces an earlier
    one.

    Raises:
        ValueError: one of them is not ``key=value``.
    """
    values = {}
    for option in options or []:
        key, sign, text = option.partition("=")
        if not sign or not key.strip():
            raise ValueError(f"expected KEY=VALUE, got {option!r}")
        values[key.strip()] = parse_value(text)
    return values


def parse_value(text: str) -> Any:
    """Returns what a text on the command line means.

    Python's literals are what they are in Python. ``true``, ``false`` and ``none`` are understood in any
    case, and a list needs no quotes: ``[a,b]``, or ``a,b`` where it has no blank. Everything else is the text
    itself: to give ``true`` or ``1`` as a text, quote it twice: ``'key="1"'``.
    """
    text = text.strip()
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    parts = split_at_commas(text)
    if len(parts) > 1 and not any(character.isspace() for character in text):
        return [parse_value(part) for part in parts if part]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        pass
    if text[:1] in _BRACKETS and text.endswith(_BRACKETS[text[0]]):
        inside = [parse_value(part) for part in split_at_commas(text[1:-1]) if part.strip()]
        return inside if text[0] == "[" else tuple(inside)
    return text


def split_at_commas(text: str) -> list[str]:
    """Splits at the commas that are not inside brackets or quotes."""
    parts, depth, quote = [""], 0, ""
    for character in text:
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        elif character in _OPEN:
            depth += 1
        elif character in _CLOSE:
            depth -= 1
        if character == "," and not depth and not quote:
            parts.append("")
        else:
            parts[-1] += character
    return parts
