"""The results of the comparison as a table and as a chart."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.methods import METHODS
from benchmarks.plots import Bar, Panel, chart
from diffkit.apis.measure import report

#: The most that diffkit may take of the peer's memory.
PEAK_GOAL = 0.8
#: In %, the most that a step may take beyond a bare loop's, and a checkpoint of the steps of an interval.
OVERHEAD_GOAL, CHECKPOINT_GOAL = 2.0, 5.0
#: The least peer's time / diffkit's time for pictures during a training.
SAMPLING_GOAL = 1.5


def interval(ratio: Mapping[str, float], digits: int = 2) -> str:
    """``1.60 (1.55–1.64)``: the median with the least and the most."""
    return f"{ratio['median']:.{digits}f} ({ratio['least']:.{digits}f}–{ratio['most']:.{digits}f})"


def compare_table(results: Mapping[str, Any]) -> str:
    """All results as Markdown."""
    found = results.get("methods", {})
    parts = [_steps(found), _whole(found), _losses(found), *_own(results), _words(found),
             report.footer(results["about"])]
    return "\n".join(part for part in parts if part)


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
                     *(f"{losses[key]:.6g}" if losses.get(key) is not None else "-" for key in ("peer", "diffkit")),
                     f"{losses['difference']:.1e}" if "difference" in losses and METHODS[name].same_loss else "-",
                     "; ".join(filter(None, (METHODS[name].differs, METHODS[name].note)))))
    return report.table(("loss of the first step, same draws", "script", "diffkit", "apart", "note"), rows)


def write_chart(results: Mapping[str, Any], file: Path) -> None:
    """Draws script / diffkit for each method, with the interval and what is asked, as SVG."""
    bars = [Bar(METHODS[name].label, (values["ratio"]["median"],), METHODS[name].goal, interval(values["ratio"]),
                (values["ratio"]["least"], values["ratio"]["most"]))
            for name, values in _named(results.get("methods", {}))]
    if bars:
        panel = Panel("time of a step, script / diffkit: medians, least and most; a line where what is asked is", bars)
        file.write_text(chart("diffkit beside other programs' scripts", ("ratio",), (panel,)), encoding="utf-8")


def _own(results: Mapping[str, Any]) -> list[str]:
    """What was measured of diffkit alone, and pictures during a training, as a table of goals."""
    rows = []
    for values in (results.get("overhead") or {}).values():
        ratio = {name: 100 * (value - 1) for name, value in values["ratio"].items() if name != "rounds"}
        rows.append(("a LoRA step, more than a bare loop's, %", interval(ratio, 1), f"≤ {OVERHEAD_GOAL:g}",
                     report.yes(ratio["median"] <= OVERHEAD_GOAL), values["ratio"]["rounds"]))
    for name, values in (results.get("checkpoint") or {}).items():
        for key, clock in (("cpu", "processor"), ("clock", "clock")):
            share = {part: 100 * value for part, value in values[key].items()}
            rows.append((f"a checkpoint, of {values['interval']} steps, %: {METHODS[name].label}, {clock}",
                         interval(share, 2), f"≤ {CHECKPOINT_GOAL:g}",
                         report.yes(share["median"] <= CHECKPOINT_GOAL), values["rounds"]))
    for values in (results.get("sampling") or {}).values():
        steps = values["steps"]
        for key, goal, what in (("default", SAMPLING_GOAL, f"{steps['peer']} and {steps['diffkit']} steps, by default"),
                                ("equal_steps", None, f"{steps['peer']} steps each")):
            rows.append((f"{values['pictures']} pictures during a training, script / diffkit: {what}",
                         interval(values[key]), "" if goal is None else f"≥ {goal:g}",
                         "" if goal is None else report.yes(values[key]["median"] >= goal), values[key]["rounds"]))
    return [report.table(("beside that", "measured", "asked", "reached", "n"), rows)] if rows else []


def _words(found: Mapping[str, Any]) -> str:
    sizes = dict.fromkeys((values["size"], values["batch"], values["rank"]) for _, values in _named(found))
    settings = "; ".join(f"size `{size}`, batch {batch}, rank {rank}" for size, batch, rank in sizes)
    return (f"Trainings in float32 on one thread ({settings}). Medians with the least and the most of the pairs; for "
            "5 pairs these hold the median with 94 %. Seconds are of the processor, peaks of resident memory.\n")
