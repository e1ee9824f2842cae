"""The rows of the tables, for the page and for the Markdown text alike."""

from collections.abc import Sequence
from statistics import median
from typing import Any

from diffkit.apis.report.figures import Figure, count, number
from diffkit.apis.report.models import Model
from diffkit.apis.report.run import Run
from diffkit.engine.files import format_bytes

#: A row: its name, a text for each column, and numbers for bars, or None where they would say nothing.
Row = tuple[str, list[str], list[float | None] | None]


def model_rows(models: Sequence[Model]) -> list[Row]:
    """What each model is and costs."""
    rows: list[Row] = [
        ("loaded from", [model.name for model in models], None),
        ("holds", [model.kind for model in models], None),
        _sized("own files", [model.bytes for model in models]),
        _sized("file of the UNet", [model.unet_bytes for model in models]),
        _counted("parameters of the UNet", [_part(model, "parameters", "unet") for model in models]),
        _counted("parameters of all networks", [_all_parameters(model) for model in models]),
        _counted("parameters of adapters beside the UNet", [_part(model, "adapter_parameters") for model in models]),
        _counted("MACs of a UNet call, convolutions and linear layers", [_part(model, "macs") for model in models]),
        _counted("MACs of a UNet call, with attention", [_part(model, "macs_with_attention") for model in models]),
        _timed(models),
        _sized("peak memory of the process", [model.result.get("memory", {}).get("process") for model in models]),
        _sized("of that before the model was loaded",
               [model.result.get("memory", {}).get("before") for model in models], bars=False),
        _sized("peak memory of the GPU", [model.result.get("memory", {}).get("gpu") for model in models]),
        ("device and number format", [_device(model) for model in models], None),
        _similar("PSNR to the first, dB", "psnr", models),
        _similar("SSIM to the first", "ssim", models),
    ]
    if any(model.fault for model in models):
        rows.insert(0, ("failed", [model.fault or "-" for model in models], None))
    return [row for row in rows if any(text != "-" for text in row[1])]


def metric_rows(runs: Sequence[Run]) -> tuple[list[str], list[Row]]:
    """The columns and rows of the metrics that tests of the trainings found."""
    columns = [(run, name) for run in runs for name in run.results]
    names = list(dict.fromkeys(name for run, result in columns for name in run.results[result]))
    rows: list[Row] = [
        (name, [_figure(run.results[result].get(name)) for run, result in columns], None) for name in names]
    titles = [f"{run.name}: {result}" if len(runs) > 1 else result for run, result in columns]
    return titles, rows


def cost_rows(runs: Sequence[Run]) -> list[Row]:
    """What the trainings took; nothing where none says it."""
    if not any(run.cost for run in runs):
        return []
    rows: list[Row] = []
    for name, field, unit in (("iterations", "iterations", ""), ("seconds by the clock", "seconds", " s"),
                              ("CPU seconds", "cpu_seconds", " s")):
        values = [None if run.cost is None else float(getattr(run.cost, field)) for run in runs]
        rows.append((name, ["-" if value is None else number(value) + unit for value in values], _bars(values)))
    return rows


def curve_names(runs: Sequence[Run]) -> list[str]:
    """The names of what was logged, without standard errors and numbers of other names."""
    names = list(dict.fromkeys(name for run in runs for name in run.curves))
    spreads = {f"{name}{end}" for name in names for end in ("_se", "_n")}
    return [name for name in names if name not in spreads]


def config_rows(runs: Sequence[Run]) -> list[Row]:
    """The keys in which the configs of the trainings differ."""
    known = [run for run in runs if run.config]
    keys = sorted(set().union(*(run.config for run in known)))
    rows: list[Row] = []
    for key in keys:
        values = [run.config.get(key, "(not set)") if run.config else "(unknown)" for run in runs]
        if len({run.config.get(key) for run in known}) > 1:
            rows.append((key, values, None))
    return rows


def checkpoint_rows(run: Run) -> list[Row]:
    """The step folders of a training: a row for each."""
    rows: list[Row] = []
    for each in run.checkpoints:
        holds = "cannot be read" if each.folder is None else each.folder.describe().partition(": ")[2]
        sizes = [format_bytes(each.bytes), format_bytes(each.state_bytes) if each.state_bytes else "-"]
        best = f" (the best: {run.best[1]})" if run.best is not None and run.best[0] == each.step else ""
        rows.append((f"step{each.step}{best}", [holds, *sizes], None))
    return rows


def curve_rows(runs: Sequence[Run], name: str) -> list[tuple[str, str, str, str, str]]:
    """Of a curve of each training: first and last value, the least and the largest."""
    rows = []
    for run in runs:
        values = [value for _, value in run.curves.get(name, [])]
        if values:
            rows.append((run.name, number(values[0]), number(values[-1]), number(min(values)), number(max(values))))
    return rows


def _figure(figure: Figure | None) -> str:
    return "-" if figure is None else str(figure)


def _sized(name: str, values: list[int | None], bars: bool = True) -> Row:
    texts = ["-" if value is None else format_bytes(value) for value in values]
    return name, texts, _bars(values) if bars else None


def _counted(name: str, values: list[int | None]) -> Row:
    return name, ["-" if value is None else count(value) for value in values], _bars(values)


def _bars(values: Sequence[float | None]) -> list[float | None] | None:
    """Each value as a share of the largest; None where there is nothing to compare."""
    largest = max((value for value in values if value), default=0)
    if len(values) < 2 or not largest:
        return None
    return [None if value is None else value / largest for value in values]


def _part(model: Model, *path: str) -> Any:
    value: Any = model.result.get("structure", {})
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _all_parameters(model: Model) -> int | None:
    parts = _part(model, "parameters")
    return sum(parts.values()) + (_part(model, "adapter_parameters") or 0) if parts else None


def _timed(models: Sequence[Model]) -> Row:
    texts, middles = [], []
    for model in models:
        seconds = model.result.get("seconds") or []
        middle = median(seconds) if seconds else None
        middles.append(middle)
        spread = f" ({number(min(seconds))} to {number(max(seconds))}, n = {len(seconds)})" if seconds else ""
        texts.append("-" if middle is None else f"{number(middle)} s{spread}")
    return "time for one picture: median (range)", texts, _bars(middles)


def _device(model: Model) -> str:
    return f"{model.result['device']}, {model.result['dtype']}" if model.result else "-"


def _similar(name: str, kind: str, models: Sequence[Model]) -> Row:
    return name, [_figure(model.similarity.get(kind)) for model in models], None
