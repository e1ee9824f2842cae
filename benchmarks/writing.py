"""Results as the files that the documentation shows."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from diffkit.apis.measure import report


def write_up(results: Mapping[str, Any], text: str, drawing: str, out: str | Path, plot: str | Path) -> None:
    """Writes ``<out>.json``, ``<out>.md`` and a plot.

    Args:
        results: what was measured.
        text: the same as a table.
        drawing: the same as an SVG file.
        out: path without suffix.
        plot: path of the picture; its folder is made where it is not there.
    """
    file = Path(out).with_suffix(".json")
    report.write_results(file, results)
    file.with_suffix(".md").write_text(text, encoding="utf-8")
    Path(plot).parent.mkdir(parents=True, exist_ok=True)
    Path(plot).write_text(drawing, encoding="utf-8")
