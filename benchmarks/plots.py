"""Bars as one SVG file that stands alone and is read on a light and on a dark page."""

from collections.abc import Sequence
from dataclasses import dataclass

from diffkit.apis.report.figures import number
from diffkit.apis.report.markup import Html, tag

_BARS, _NOTES = 380, 150
_LETTER = 7  # about the width of one, in px
_ROW, _BAR, _HEAD = 24, 15, 34
_COLOURS = ("#8c9aa8", "#e0a030", "#c8742c", "#1769aa", "#6db5f0", "#9ccfb8", "#257a4b", "#7a4bb5", "#c8374d",
            "#5c6168", "#b8bec6")
_STYLE = ("text{font:12px system-ui,sans-serif;fill:#50565e}.t{font-weight:600}.m{stroke:#111;stroke-width:2}"
          ".e{stroke:#777;stroke-width:1}"
          "@media(prefers-color-scheme:dark){text{fill:#b9c0c9}.m{stroke:#fff}.e{stroke:#aaa}}")


@dataclass(frozen=True)
class Bar:
    """A bar of one or more pieces.

    Attributes:
        label: to its left.
        pieces: lengths, 0 or more.
        mark: where a line crosses it; None for none.
        note: to its right.
        between: the least and the most that its whole length was.
    """

    label: str
    pieces: Sequence[float]
    mark: float | None = None
    note: str = ""
    between: tuple[float, float] | None = None


@dataclass(frozen=True)
class Panel:
    """Bars with one scale, under a heading."""

    heading: str
    bars: Sequence[Bar]


def chart(title: str, names: Sequence[str], panels: Sequence[Panel]) -> str:
    """A drawing of panels, one below the other.

    Args:
        title: of the drawing.
        names: of the pieces, for the legend; with one there is no legend.
        panels: at least one, each with at least one bar.

    Returns:
        The text of an SVG file.
    """
    parts, y = [tag("title", title), tag("style", Html(_STYLE))], 8
    labels = 16 + _LETTER * max(len(bar.label) for panel in panels for bar in panel.bars)
    width = labels + _BARS + _NOTES
    if len(names) > 1:
        legend, y = _legend(names, y, width)
        parts += legend
    for panel in panels:
        drawn, y = _panel(panel, y, labels)
        parts += drawn
    return tag("svg", parts, xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {width} {y + 6}", role="img") + "\n"


def _legend(names: Sequence[str], y: int, whole: int) -> tuple[list[Html], int]:
    parts, x = [], 8
    for place, name in enumerate(names):
        width = 26 + _LETTER * len(name)
        if x + width > whole:
            x, y = 8, y + 20
        parts += [_rectangle(x, y, 12, 12, place), tag("text", name, x=x + 17, y=y + 11)]
        x += width
    return parts, y + 24


def _panel(panel: Panel, y: int, labels: int) -> tuple[list[Html], int]:
    longest = max(max(sum(bar.pieces), bar.mark or 0, (bar.between or (0, 0))[1]) for bar in panel.bars) or 1.0
    scale = _BARS / longest
    parts = [tag("text", panel.heading, x=8, y=y + 18, class_="t")]
    y += _HEAD
    for bar in panel.bars:
        parts += _bar(bar, y, scale, labels)
        y += _ROW
    return parts, y


def _bar(bar: Bar, y: int, scale: float, labels: int) -> list[Html]:
    parts, x = [tag("text", bar.label, x=labels - 8, y=y + 12, text_anchor="end")], float(labels)
    for place, piece in enumerate(bar.pieces):
        if piece * scale >= 0.05:
            parts.append(_rectangle(x, y, piece * scale, _BAR, place))
        x += piece * scale
    end = x
    if bar.between is not None:
        low, high = (labels + value * scale for value in bar.between)
        middle = y + _BAR / 2
        parts.append(tag("line", x1=f"{low:.1f}", x2=f"{high:.1f}", y1=middle, y2=middle, class_="e"))
        end = max(end, high)
    if bar.mark is not None:
        at = labels + bar.mark * scale
        parts.append(tag("line", x1=f"{at:.1f}", x2=f"{at:.1f}", y1=y - 3, y2=y + _BAR + 3, class_="m"))
        end = max(end, at)
    note = bar.note or number(sum(bar.pieces))
    return [*parts, tag("text", note, x=f"{end + 6:.1f}", y=y + 12)]


def _rectangle(x: float, y: float, width: float, height: float, place: int) -> Html:
    return tag("rect", x=f"{x:.1f}", y=y, width=f"{width:.1f}", height=height, fill=_COLOURS[place % len(_COLOURS)])
