"""HTML and SVG, written so that text is escaped unless it was made here."""

import html
from collections.abc import Iterable
from typing import Any

#: Elements that have no end: those of HTML, and those of SVG that are closed by a slash, without which all that follows
#: would be inside of them.
_VOID, _CLOSED = frozenset({"img", "meta", "br"}), frozenset({"line", "polyline", "polygon", "circle"})


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


Content = Any  # text, Html, a number, None, or an iterable of these


def tag(_name: str, *content: Content, **attributes: Any) -> Html:
    """An element.

    Args:
        _name: of the element; never the user's.
        content: text is escaped, :class:`Html` stays, None is left out, other iterables are joined.
        attributes: values are escaped; None leaves one out, True stands for its bare name. ``class_`` is ``class``;
            other underscores are hyphens.
    """
    shown = "".join(_attribute(name, value) for name, value in attributes.items() if value is not None)
    if _name in _VOID or _name in _CLOSED:
        return Html(f"<{_name}{shown}{'/' if _name in _CLOSED else ''}>")
    return Html(f"<{_name}{shown}>{join(content)}</{_name}>")


def join(content: Iterable[Content], between: str = "") -> Html:
    """Content one after the other."""
    return Html(between.join(_escaped(item) for item in content))


def _escaped(item: Content) -> str:
    if item is None:
        return ""
    if isinstance(item, Html):
        return item
    if isinstance(item, str):
        return html.escape(_printable(item), quote=True)
    if isinstance(item, Iterable):
        return join(item)
    return html.escape(str(item), quote=True)


def _attribute(name: str, value: Any) -> str:
    name = name.rstrip("_").replace("_", "-") if name not in ("viewBox", "preserveAspectRatio") else name
    return f" {name}" if value is True else f' {name}="{html.escape(_printable(str(value)), quote=True)}"'


def _printable(text: str) -> str:
    """Text without characters that no page may hold: controls, and halves of pairs."""
    return "".join(c if c.isprintable() or c in "\n\t " else "\N{REPLACEMENT CHARACTER}" for c in text)
