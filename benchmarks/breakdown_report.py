"""The table and the picture of a breakdown."""

from collections.abc import Mapping
from statistics import median
from typing import Any

from benchmarks.parts import PARTS
from benchmarks.plots import Bar, Panel, chart
from diffkit.apis.measure import report

#: What the parts may leave unexplained of a step, as a share of it.
TOLERANCE = 0.01


def summary(training: Mapping[str, Any]) -> dict[str, float]:
    """The figures of one training.

    Returns:
        ``step`` (median seconds of whole steps), ``explained`` (the least share of a step that its parts add up to),
        ``looking`` (seconds of a step taken apart, of a whole one's: the median over pairs), ``flops`` of a step,
        ``rate`` (the faster one of the machine's), ``floor`` in seconds and ``of_floor`` (step by floor).
    """
    apart, whole = training["apart"], training["whole"]
    sums = [sum(values) for values in zip(*training["parts"].values(), strict=True)]
    step, rate, flops = median(whole), max(training["rates"].values()), sum(training["flops"].values())
    return {"step": step, "explained": min(part / total for part, total in zip(sums, apart, strict=True)),
            "looking": median(a / b for a, b in zip(apart, whole, strict=True)),
            "flops": flops, "rate": rate, "floor": flops / rate, "of_floor": step * rate / flops}


def shares(training: Mapping[str, Any]) -> dict[str, float]:
    """The median share of each part in the steps that are taken apart."""
    return {name: median(part / total for part, total in zip(values, training["apart"], strict=True))
            for name, values in training["parts"].items()}


def breakdown_table(results: Mapping[str, Any]) -> str:
    """The results as Markdown."""
    trainings, setting = results["trainings"], results["setting"]
    found = {name: (summary(training), shares(training)) for name, training in trainings.items()}
    names = [part for part in PARTS if any(values[part] for _, values in found.values())]
    rows: list[list[Any]] = [
        [f"{part}, %", *(_percent(values[part]) for _, values in found.values())] for part in names]
    rows.append(["sum of the parts, %", *(f"{100 * figures['explained']:.1f}" for figures, _ in found.values())])
    rows.append(["s of a step", *(_seconds(training["whole"]) for training in trainings.values())])
    rows.append(["… taken apart, of a whole one's", *(f"{figures['looking']:.3f}" for figures, _ in found.values())])
    rows.append(["GFLOP", *(f"{figures['flops'] / 1e9:,.1f}" for figures, _ in found.values())])
    rows.append(["GFLOP/s of the machine", *(f"{figures['rate'] / 1e9:.1f}" for figures, _ in found.values())])
    rows.append(["s at that rate", *(f"{figures['floor']:.2f}" for figures, _ in found.values())])
    rows.append(["**step / floor**", *(f"**{figures['of_floor']:.2f}**" for figures, _ in found.values())])
    explained = all(abs(1 - figures["explained"]) <= TOLERANCE for figures, _ in found.values())
    meanings = "; ".join(f"*{part}*: {PARTS[part]}" for part in names)
    return (report.table(("", *found), rows) + f"\n{meanings}.\n\n"
            f"Size `{setting['size']}`, batch {setting['batch_size']}, {setting['images']} pictures, all of which have "
            "been seen before where 20 steps are enough for that; data read in the process; processor time of one "
            f"thread in the real runner, with its default hooks. {setting['steps']} steps of each training, by turns "
            "taken apart and whole: shares are medians of the former, seconds the median of the latter with the least "
            f"and the most. The sum of the parts is the least of all steps; within {100 * TOLERANCE:g} % of the step: "
            f"{report.yes(explained)}. GFLOP are those of matrix products, convolutions and attention; the machine's "
            "rate is that of a product of two matrices of 1024 x 1024 or of a convolution of 3 x 3 in float32, "
            "whichever is faster, timed between the steps on the same thread.\n\n" + report.footer(results["about"]))


def breakdown_plot(results: Mapping[str, Any]) -> str:
    """The results as SVG: for each training a bar of its parts, and a mark where the floor is."""
    trainings = results["trainings"]
    names = [part for part in PARTS if any(any(training["parts"][part]) for training in trainings.values())]
    bars = []
    for name, training in trainings.items():
        figures, values = summary(training), shares(training)
        bars.append(Bar(name, [values[part] * figures["step"] for part in names], figures["floor"],
                        f"{figures['step']:.2f} s, {figures['of_floor']:.2f} x floor"))
    return chart("Where a training step goes", names, [Panel("seconds of one thread; the mark is the floor", bars)])


def _percent(value: float) -> str:
    return f"{100 * value:.1f}" if value >= 0.0005 else "-" if not value else "<0.1"


def _seconds(values: list[float]) -> str:
    return f"{median(values):.2f} ({min(values):.2f}–{max(values):.2f})"
