"""Line charts as SVG: they need no script, scale to the screen and take the colours of the page."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from diffkit.apis.report.figures import number
from diffkit.apis.report.markup import Html, join, tag

WIDTH, HEIGHT = 360, 210
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 10, 10, 24
_POINTS = 240  # a line has at most; more are averaged, a chart is no wider
_SMOOTH_FROM = 40  # points from which a running mean is drawn over the line
_LOG_FROM = 50  # a range of positive values with this ratio gets a logarithmic axis
COLOURS = 8


@dataclass(frozen=True)
class Series:
    """A line of a chart.

    Attributes:
        label: in the legend.
        points: (iteration, value), by iteration.
        errors: standard errors of the values, drawn as a band; empty for none.
        colour: number of its colour; lines of one run have one colour in all charts.
    """

    label: str
    points: Sequence[tuple[float, float]]
    errors: Sequence[float] = ()
    colour: int = 0


class _Axis:
    """A range of values on a stretch of pixels.

    Args:
        values: what it has to hold.
        first: pixel of the least value.
        last: pixel of the largest.
        logarithmic: equal ratios have equal lengths.
    """

    def __init__(self, values: Sequence[float], first: float, last: float, logarithmic: bool = False) -> None:
        self.logarithmic = logarithmic
        low, high = min(values), max(values)
        if not logarithmic and low == high:
            low, high = low - (abs(low) or 1) / 2, high + (abs(high) or 1) / 2
        self.low, self.high = self._scaled(low), self._scaled(high)
        self.first, self.last = first, last

    def __call__(self, value: float) -> float:
        return self.first + (self._scaled(value) - self.low) / (self.high - self.low) * (self.last - self.first)

    def ticks(self, wanted: int) -> list[float]:
        """Round values within the range."""
        if self.logarithmic:
            return self._decades()
        raw = (self.high - self.low) / wanted
        size = 10.0 ** math.floor(math.log10(raw))
        step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= raw * 0.999)
        first = math.ceil(self.low / step - 1e-9)
        return [i * step for i in range(first, math.floor(self.high / step + 1e-9) + 1)]

    def _decades(self) -> list[float]:
        powers = range(math.ceil(self.low - 1e-9), math.floor(self.high + 1e-9) + 1)
        every = max(1, len(powers) // 4)
        return [10.0**power for power in powers[::every]]

    def _scaled(self, value: float) -> float:
        return math.log10(value) if self.logarithmic else value


def line_chart(title: str, series: Sequence[Series]) -> Html | None:
    """A chart of lines over iterations, with its legend where there is more than one; None without points."""
    several = len(series) > 1  # then a line says whose it is, though it may be alone
    series = [each for each in series if each.points]
    if not series:
        return None
    values = [y for each in series for _, y in each.points]
    logarithmic = min(values) > 0 and max(values) / min(values) >= _LOG_FROM
    x = _Axis([point[0] for each in series for point in each.points], _LEFT, WIDTH - _RIGHT)
    y = _Axis(_bounds(series, logarithmic), HEIGHT - _BOTTOM, _TOP, logarithmic)
    drawing = tag(
        "svg", tag("title", _described(title, series)), _grid(x, y), [_line(each, x, y) for each in series],
        viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img")
    note = tag("span", "logarithmic", class_="note") if logarithmic else None
    legend = tag("ul", [_entry(each) for each in series], class_="legend") if several else None
    return tag("figure", tag("figcaption", title, " " if note else None, note), drawing, legend, class_="chart")


def swatch(colour: int) -> Html:
    """A short piece of a run's line, for legends."""
    stroke = tag("line", x1=1, y1=5, x2=23, y2=5, class_=f"line c{colour % COLOURS}")
    return tag("svg", stroke, viewBox="0 0 24 10", class_="swatch", aria_hidden="true")


def _entry(series: Series) -> Html:
    return tag("li", swatch(series.colour), series.label)


def _described(title: str, series: Sequence[Series]) -> str:
    parts = [f"{each.label}: {number(each.points[0][1])} at {number(each.points[0][0])}, "
             f"{number(each.points[-1][1])} at {number(each.points[-1][0])}" for each in series]
    return f"{title}. {'; '.join(parts)}"


def _bounds(series: Sequence[Series], logarithmic: bool) -> list[float]:
    """What the axis of values has to hold: the lines, and their bands unless the axis is logarithmic."""
    values = [y for each in series for _, y in each.points]
    if logarithmic:
        return values
    for each in series:
        for (_, y), error in zip(each.points, each.errors, strict=False):
            values += [y - error, y + error]
    return values


def _grid(x: _Axis, y: _Axis) -> Html:
    parts = []
    for value in y.ticks(4):
        at = f"{y(value):.1f}"
        parts += [tag("line", x1=_LEFT, x2=WIDTH - _RIGHT, y1=at, y2=at, class_="grid"),
                  tag("text", number(value), x=_LEFT - 5, y=f"{y(value) + 3.5:.1f}", class_="tick", text_anchor="end")]
    ticks = [value for value in x.ticks(5) if value == int(value)]
    for value in ticks:
        parts.append(tag("text", number(value), x=f"{x(value):.1f}", y=HEIGHT - 8, class_="tick",
                         text_anchor=_anchor(x(value))))
    parts.append(tag("line", x1=_LEFT, x2=WIDTH - _RIGHT, y1=HEIGHT - _BOTTOM, y2=HEIGHT - _BOTTOM, class_="axis"))
    return join(parts)


def _anchor(at: float) -> str:
    return "end" if at > WIDTH - _RIGHT - 14 else "middle"


def _line(series: Series, x: _Axis, y: _Axis) -> Html:
    colour = f"c{series.colour % COLOURS}"
    points = _averaged(series.points, _POINTS)
    if len(points) == 1:
        return tag("circle", cx=f"{x(points[0][0]):.1f}", cy=f"{y(points[0][1]):.1f}", r=3, class_=f"dot {colour}")
    smooth = len(series.points) >= _SMOOTH_FROM
    parts = [_band(series, x, y, colour), _polyline(points, x, y, f"line {colour}" + (" faint" if smooth else ""))]
    if smooth:
        parts.append(_polyline(_averaged(_running_mean(series.points), _POINTS), x, y, f"line {colour}"))
    return join(parts)


def _polyline(points: Sequence[tuple[float, float]], x: _Axis, y: _Axis, kind: str) -> Html:
    return tag("polyline", points=" ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in points), class_=kind)


def _band(series: Series, x: _Axis, y: _Axis, colour: str) -> Html | None:
    if len(series.errors) != len(series.points) or y.logarithmic:
        return None
    above = [(a, b + error) for (a, b), error in zip(series.points, series.errors, strict=True)]
    below = [(a, b - error) for (a, b), error in zip(series.points, series.errors, strict=True)]
    corners = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in [*above, *reversed(below)])
    return tag("polygon", points=corners, class_=f"band {colour}")


def _averaged(points: Sequence[tuple[float, float]], most: int) -> list[tuple[float, float]]:
    """At most so many points: neighbours are averaged; the last one stays as it is."""
    size = math.ceil(len(points) / most)
    if size == 1:
        return list(points)
    groups = [points[i:i + size] for i in range(0, len(points) - 1, size)]
    means = [(sum(a for a, _ in group) / len(group), sum(b for _, b in group) / len(group)) for group in groups]
    return [*means, points[-1]]


def _running_mean(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Each value averaged with its neighbours, a tenth of the line in all."""
    half = max(1, len(points) // 20)
    sums = [0.0, *itertools.accumulate(b for _, b in points)]
    smooth = []
    for i, (a, _) in enumerate(points):
        reach = min(half, i, len(points) - 1 - i)  # the same to both sides, so that the ends are not bent
        smooth.append((a, (sums[i + reach + 1] - sums[i - reach]) / (2 * reach + 1)))
    return smooth
