"""The page itself: one file that loads nothing and needs no script."""

from collections.abc import Sequence

from diffkit.apis.report.chart import Series, line_chart, swatch
from diffkit.apis.report.facts import (
    Row,
    checkpoint_rows,
    config_rows,
    cost_rows,
    curve_names,
    metric_rows,
    model_rows,
)
from diffkit.apis.report.gallery import model_gallery, sample_gallery
from diffkit.apis.report.markup import Content, Html, join, tag
from diffkit.apis.report.models import Comparison, Model
from diffkit.apis.report.run import Run
from diffkit.apis.report.style import STYLE

#: Nothing from outside, and no script, even if a text should get past the escaping.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_BAR = 6.0  # rem of the longest bar of a row: the same in all columns, whatever their width
_LAST = ("lr", "time", "data_time", "memory")  # curves that one looks at last


def page(title: str, subtitle: str, notes: Sequence[str], runs: Sequence[Run], models: Sequence[Model],
         wanted: Comparison | None, environment: Sequence[str], side: int) -> str:
    """The whole page as text.

    Args:
        title: of the page.
        subtitle: when and by what it was made.
        notes: what the figures mean, a sentence each.
        runs: trainings.
        models: models that have painted.
        wanted: what they have painted.
        environment: of this machine, a line each.
        side: longer side of the pictures in it, in pixels, at most.
    """
    sections = [
        _section("models", "Models side by side", _models(models, wanted, side)),
        _section("samples", "During the training", [sample_gallery(run, side) for run in runs]),
        _section("metrics", "Metrics", _metrics(runs)),
        _section("curves", "Curves", _curves(runs)),
        _section("cost", "What the trainings took", _costs(runs)),
        _section("config", "Config", _configs(runs)),
        _section("steps", "Step folders", [_checkpoints(run) for run in runs]),
        _section("notes", "What the figures mean", tag("ul", [tag("li", note) for note in notes]) if notes else None),
        _section("environment", "Environment", _environment(runs, environment)),
    ]
    there = [section for section in sections if section is not None]
    body = tag(
        "body",
        tag("header", tag("h1", title), tag("p", subtitle, class_="soft"), _names(runs)),
        tag("nav", tag("ul", [tag("li", tag("a", name, href=f"#{key}")) for key, name, _ in there]),
            aria_label="Sections"),
        tag("main", [section for _, _, section in there]),
        tag("footer", tag("p", "Made by diffkit report. This file is complete: it loads nothing.", class_="soft")))
    head = tag(
        "head", tag("meta", charset="utf-8"), tag("title", title),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name="referrer", content="no-referrer"),
        tag("style", Html(STYLE)))
    return f"<!DOCTYPE html>\n{tag('html', head, body, lang='en')}\n"


def _section(key: str, name: str, content: Content) -> tuple[str, str, Html] | None:
    inside = join([content])
    return (key, name, tag("section", tag("h2", name), inside, id=key)) if inside else None


def _names(runs: Sequence[Run]) -> Html | None:
    """The trainings with their colours, which are the same in all charts."""
    if not runs:
        return None
    entries = [tag("li", swatch(number) if len(runs) > 1 else None, tag("span", run.name), " ",
                   tag("span", str(run.folder), class_="soft")) for number, run in enumerate(runs)]
    return tag("ul", entries, class_="legend")


def _models(models: Sequence[Model], wanted: Comparison | None, side: int) -> Content:
    if not models or wanted is None:
        return None
    return [model_gallery(models, wanted, side), tag("h3", "What they are and what they cost"),
            _table(["", *(model.label for model in models)], model_rows(models))]


def _metrics(runs: Sequence[Run]) -> Content:
    titles, rows = metric_rows(runs)
    return _table(["", *titles], rows) if rows else None


def _costs(runs: Sequence[Run]) -> Content:
    rows = cost_rows(runs)
    return _table(["", *(run.name for run in runs)], rows) if rows else None


def _curves(runs: Sequence[Run]) -> Content:
    names = sorted(curve_names(runs), key=lambda name: name in _LAST)
    charts = [line_chart(name, [_series(run, name, number) for number, run in enumerate(runs)]) for name in names]
    shown = [chart for chart in charts if chart is not None]
    return tag("div", shown, class_="charts") if shown else None


def _series(run: Run, name: str, colour: int) -> Series:
    points = run.curves.get(name, [])
    spread = dict(run.curves.get(f"{name}_se", []))
    errors = [spread[step] for step, _ in points] if points and all(step in spread for step, _ in points) else []
    return Series(run.name, points, errors, colour)


def _configs(runs: Sequence[Run]) -> Content:
    parts: list[Content] = []
    if len(runs) > 1:
        rows = config_rows(runs)
        head = ["", *(run.name for run in runs)]
        parts.append(_table(head, rows, "config", differing=True) if rows else tag("p", "The configs do not differ."))
    for run in runs:
        if run.config:
            whole = _table(["", run.name], [(key, [text], None) for key, text in run.config.items()], "config")
            parts.append(tag("details", tag("summary", f"The whole config of {run.name} ({len(run.config)} values)"),
                             whole))
    return parts or None


def _checkpoints(run: Run) -> Content:
    rows = checkpoint_rows(run)
    if not rows:
        return None
    return [tag("h3", run.name), _table(["", "holds", "files", "only for resuming"], rows)]


def _environment(runs: Sequence[Run], here: Sequence[str]) -> Content:
    parts: list[Content] = []
    for name, lines in [*((run.name, run.environment) for run in runs), ("this report", here)]:
        if lines:
            parts += [tag("h3", name), tag("p", join(lines, "<br>"), class_="soft")]
    return parts


def _table(head: Sequence[str], rows: Sequence[Row], kind: str = "", differing: bool = False) -> Html:
    """A table that scrolls sideways where it is too wide; the first column stays in sight."""
    return tag("div", tag(
        "table",
        tag("thead", tag("tr", [tag("th", name, scope="col") for name in head])),
        tag("tbody", [_row(head, row, differing) for row in rows])), class_=f"scroll {kind}".strip(), tabindex="0")


def _row(head: Sequence[str], row: Row, differing: bool) -> Html:
    name, texts, bars = row
    cells = []
    for number, text in enumerate(texts):
        bar = None
        if bars is not None and bars[number] is not None:
            bar = tag("div", class_="bar c0", style=f"width:{_BAR * (bars[number] or 0):.2f}rem")
        other = True if differing and text != texts[0] else None
        cells.append(tag("td", _spread(text), bar, data_of=head[number + 1], class_="differs" if other else None))
    return tag("tr", tag("th", name, scope="row"), cells)


def _spread(text: str) -> Content:
    """What follows a figure in brackets, or as its error, is set apart."""
    value, sign, rest = text.partition(" ± ")
    return [value, tag("span", f" ± {rest}", class_="spread")] if sign else text
