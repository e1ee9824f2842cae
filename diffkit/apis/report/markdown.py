"""The tables of the page as Markdown."""

import html
import re
from collections.abc import Sequence

from diffkit.apis.measure.report import table
from diffkit.apis.report.facts import (
    Row,
    checkpoint_rows,
    config_rows,
    cost_rows,
    curve_names,
    curve_rows,
    metric_rows,
    model_rows,
)
from diffkit.apis.report.models import Model
from diffkit.apis.report.run import Run


def markdown(title: str, notes: Sequence[str], runs: Sequence[Run], models: Sequence[Model]) -> str:
    """Tables of models, metrics, curves, configs and checkpoints, and what the figures mean."""
    parts = [f"# {cell(title)}"]
    if models:
        parts.append("## Models\n\n" + _table(["", *(model.label for model in models)], model_rows(models)))
    titles, rows = metric_rows(runs)
    if rows:
        parts.append("## Metrics\n\n" + _table(["", *titles], rows))
    rows = cost_rows(runs)
    if rows:
        parts.append("## What the trainings took\n\n" + _table(["", *(run.name for run in runs)], rows))
    names = curve_names(runs)
    if names:
        lines = [[cell(text) for text in (name, *row)] for name in names for row in curve_rows(runs, name)]
        parts.append("## Curves\n\n" + table(["", "training", "first", "last", "least", "largest"], lines))
    if len(runs) > 1:
        parts.append("## Where the configs differ\n\n" + _table(["", *(run.name for run in runs)], config_rows(runs)))
    for run in runs:
        if run.checkpoints:
            rows = checkpoint_rows(run)
            parts.append(f"## Step folders of {cell(run.name)}\n\n" + _table(["", "holds", "files", "state"], rows))
    if notes:
        parts.append("## Notes\n\n" + "\n".join(f"- {cell(note)}" for note in notes) + "\n")
    return "\n\n".join(part.rstrip() for part in parts) + "\n"


def _table(head: Sequence[str], rows: Sequence[Row]) -> str:
    if not rows:
        return "Nothing.\n"
    return table([cell(text) for text in head], [[cell(name), *map(cell, texts)] for name, texts, _ in rows])


def cell(text: str) -> str:
    """Text that stays in its cell and is no markup, whatever it says."""
    text = html.escape(" ".join(text.split()), quote=False)
    return re.sub(r"([\\`*_\[\]|#])", r"\\\1", text)
