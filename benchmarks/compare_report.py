"""The results of the comparison as a table and as a chart."""

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from benchmarks.methods import METHODS
from diffkit.apis.measure import report

#: The most that diffkit may take of the peer's memory.
PEAK_GOAL = 0.8


def interval(ratio: Mapping[str, float], digits: int = 2) -> str:
    """``1.60 (1.55–1.64)``: the median with the least and the most."""
    return f"{ratio['median']:.{digits}f} ({ratio['least']:.{digits}f}–{ratio['most']:.{digits}f})"


def compare_table(results: Mapping[str, Any]) -> str:
    """All results as Markdown."""
    found = results.get("methods", {})
    text = _steps(found) + "\n" + _whole(found) + "\n" + _losses(found)
    for facts in dict.fromkeys(report.footer(results["about"]) for _ in (0,)):
        text += "\n" + facts
    return text


def _named(found: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    return [(name, found[name]) for name in METHODS if name in found]


def _steps(found: Mapping[str, Any]) -> str:
    rows = []
    for name, values in _named(found):
        goal, seconds = METHODS[name].goal, values["step_seconds"]
        rows.append((METHODS[name].label, f"{seconds['peer']:.2f}", f"{seconds['diffkit']:.2f}",
                     interval(values["ratio"]), "" if goal is None else f"≥ {goal:g}",
                     "" if goal is None else report.yes(values["ratio"]["median"] >= goal), values["pairs"]))
    return report.table(("a step more", "script, s", "diffkit, s", "script / diffkit", "asked", "reached", "pairs"),
                        rows)


def _whole(found: Mapping[str, Any]) -> str:
    rows = []
    for name, values in _named(found):
        fixed, peak = values["fixed_seconds"], values.get("peak_mb")
        rows.append((METHODS[name].label, f"{fixed['peer']:.1f}", f"{fixed['diffkit']:.1f}",
                     interval(values["fixed_ratio"]), report.yes(values["fixed_ratio"]["median"] <= 1),
                     *((f"{peak['peer']:,.0f}", f"{peak['diffkit']:,.0f}", interval(values["peak_ratio"]),
                        report.yes(values["peak_ratio"]["median"] <= PEAK_GOAL)) if peak else ("-",) * 4)))
    return report.table(("the rest of a run", "script, s", "diffkit, s", "diffkit / script", "≤ 1", "script's peak, MB",
                         "diffkit's", "diffkit / script", f"≤ {PEAK_GOAL:g}"), rows)


def _losses(found: Mapping[str, Any]) -> str:
    rows = []
    for name, values in _named(found):
        losses = values["losses"]
        rows.append((METHODS[name].label,
                     *(f"{losses[key]:.7f}" if losses.get(key) is not None else "-" for key in ("peer", "diffkit")),
                     f"{losses['difference']:.1e}" if "difference" in losses else "-",
                     "; ".join(filter(None, (METHODS[name].differs, METHODS[name].note)))))
    return report.table(("loss of the first step, same draws", "script", "diffkit", "apart", "note"), rows)


def write_chart(results: Mapping[str, Any], file: Path) -> None:
    """Draws script / diffkit for each method, with the interval and what is asked, as SVG."""
    rows = _named(results.get("methods", {}))
    left, right, line = 310, 520, 34
    width, height = left + right + 30, line * len(rows) + 60
    most = max((values["ratio"]["most"] for _, values in rows), default=1.0)
    most = max(most, *(METHODS[name].goal or 1.0 for name, _ in rows), 1.0) * 1.05

    def x(value: float) -> float:
        return left + right * value / most

    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
             'font-size="13">', f'<rect width="{width}" height="{height}" fill="#ffffff"/>']
    for i, (name, values) in enumerate(rows):
        y, ratio, goal = 16 + line * i, values["ratio"], METHODS[name].goal
        parts += [f'<text x="{left - 8}" y="{y + 14}" text-anchor="end">{escape(METHODS[name].label)}</text>',
                  f'<rect x="{left}" y="{y}" width="{x(ratio["median"]) - left:.1f}" height="20" fill="#5b8db8"/>',
                  f'<path d="M{x(ratio["least"]):.1f} {y + 10}H{x(ratio["most"]):.1f}" stroke="#1d3449" '
                  'stroke-width="2"/>',
                  f'<text x="{left + 6}" y="{y + 15}" fill="#ffffff">{ratio["median"]:.2f}</text>']
        if goal is not None:
            parts.append(f'<path d="M{x(goal):.1f} {y - 4}v28" stroke="#c0392b" stroke-width="2"/>')
    bottom = 16 + line * len(rows)
    parts += [f'<path d="M{x(1):.1f} 8V{bottom}" stroke="#888888" stroke-dasharray="4 3"/>',
              f'<text x="{left}" y="{bottom + 28}">time of a step, script / diffkit: bars are medians, black lines '
              "least to most, red what is asked; dashed: equal</text>", "</svg>"]
    file.write_text("\n".join(parts) + "\n", encoding="utf-8")
