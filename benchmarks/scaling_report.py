"""The table and the picture of the scaling."""

from collections.abc import Mapping
from statistics import median
from typing import Any

from benchmarks.plots import Bar, Panel, chart
from diffkit.apis.measure import report

#: How an axis is called in the table.
NAMES = {"batch": "batch", "resolution": "resolution", "width": "channels of the UNet", "rank": "rank of LoRA",
         "images": "pictures", "processes": "processes (gloo)"}


def scaling_table(results: Mapping[str, Any]) -> str:
    """The results as Markdown."""
    rows = []
    for axis, name in NAMES.items():
        points = results["axes"].get(axis, {})
        base = _base(points)
        for label, point in points.items():
            ratio, size = point["of_base"], _bytes(point)
            rows.append((
                f"{name} {label}", _seconds(point["cpu_seconds"]),
                f"{ratio['median']:.2f} ({ratio['least']:.2f}–{ratio['most']:.2f})",
                f"{point['flops'] / base['flops']:.2f}" if "flops" in point else "-",
                f"{size / 1e6:,.0f}", f"{size / _bytes(base):.2f}", _step_bytes(point),
                f"{point['seconds_per_image']:.2f}" if axis == "images" else ""))
    setting = results["setting"]
    base = setting["base"]
    rounds = {len(point["cpu_seconds"]) for points in results["axes"].values() for point in points.values()}
    return (report.table(("", "s of a step", "of the base point's", "its GFLOP, of the base point's", "MB",
                          "of the base point's", "of that a step's own", "s more when a picture comes first"), rows)
            + f"\nA training step of `{setting['config']}` at size `{setting['size']}` with random weights, float32, "
            f"caches on, inside the real runner. The base point: batch {base['batch']}, {setting['pixels']} px, rank "
            f"{base['rank']}, {base['images']} pictures and one process; one value changes at a time. The points of an "
            f"axis take turns: medians of {'–'.join(map(str, sorted({min(rounds), max(rounds)})))} rounds, with the "
            "least and the most, in processor time of one thread. MB are tensors alive at once, counted: weights, the "
            "optimizer's state, and the most that a step has besides; of processes it is the peak of the largest one's "
            "resident memory, the program included. Each process has a batch of its own, and its time is that of the "
            "slowest one: two make twice the pictures in a step.\n\n" + report.footer(results["about"]))


def scaling_plot(results: Mapping[str, Any]) -> str:
    """The results as SVG: times and memory of all points, as ratios to the base point."""
    times, sizes = [], []
    for axis, name in NAMES.items():
        points = results["axes"].get(axis, {})
        base = _base(points)
        for label, point in points.items():
            ratio, size = point["of_base"], _bytes(point) / _bytes(base)
            times.append(Bar(f"{name} {label}", [ratio["median"]], None, f"{ratio['median']:.2f}",
                             (ratio["least"], ratio["most"])))
            sizes.append(Bar(f"{name} {label}", [size], None, f"{size:.2f}"))
    return chart("A training step around the base point", ["ratio"], [
        Panel("time of a step, of the base point's", times), Panel("memory, of the base point's", sizes)])


def _base(points: Mapping[str, Any]) -> Any:
    return next((point for point in points.values() if point["is_base"]), None)


def _bytes(point: Mapping[str, Any]) -> int:
    return int(point["peak_rss"] if "peak_rss" in point else sum(point["bytes"].values()))


def _step_bytes(point: Mapping[str, Any]) -> str:
    return f"{point['bytes']['step'] / 1e6:,.0f}" if "bytes" in point else "-"


def _seconds(values: list[float]) -> str:
    return f"{median(values):.2f} ({min(values):.2f}–{max(values):.2f})"
