"""What trainings and tests wrote down in a work folder: curves, metrics, cost, the best step, the machine."""

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffkit.apis.report.figures import Figure, is_number, number, read_figures
from diffkit.engine.best import RECORD
from diffkit.engine.hooks.cost import COST_FILES

Curve = list[tuple[int, float]]

_COUNTS, _TIMES = ("step", "iter", "epoch"), ("time", "data_time")
_MAX_JSON = 4_000_000  # bytes of a file of metrics


@dataclass(frozen=True)
class Cost:
    """What all starts of a training took together: iterations, seconds by the clock, and of the processors."""

    iterations: int
    seconds: float
    cpu_seconds: float


def read_curves(folder: Path) -> dict[str, Curve]:
    """What was logged, from all runs into one folder: a resumed one replaces what it did again.

    The times of validations, which have the names of those of the training, are left out.
    """
    points: dict[str, dict[int, float]] = {}
    for file in sorted(folder.glob("*/vis_data/scalars.json")):
        for line in _lines(file):
            step = line.get("step")
            if not isinstance(step, int):
                continue
            others = _COUNTS if "iter" in line else (*_COUNTS, *_TIMES)
            for name, value in line.items():
                if name not in others and is_number(value):
                    points.setdefault(name, {})[step] = float(value)
    return {name: sorted(values.items()) for name, values in points.items()}


def _lines(file: Path) -> list[dict[str, Any]]:
    """The JSON objects of a file, one on each line; a last one that is half written is left out."""
    found = []
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            found.append(value)
    return found


def read_results(folder: Path) -> dict[str, dict[str, Figure]]:
    """Metrics of ``diffkit test``: those written with ``--out``, and those in the logs that are not among them."""
    found: dict[str, dict[str, Figure]] = {}
    for file in sorted(folder.glob("*.json")):
        figures = _read_metrics(file)
        if figures:
            found[file.stem] = figures
    for file in sorted([*folder.glob("*/*.json"), *folder.glob("*/*/*.json")]):
        if file.stem != file.parent.name:  # MMEngine calls both after the moment
            continue
        figures = {name: figure for name, figure in _read_metrics(file).items() if name not in _TIMES}
        if figures and not any(_same(figures, other) for other in found.values()):
            found[_tested(file.parent)] = figures
    return found


def _read_metrics(file: Path) -> dict[str, Figure]:
    if file.stat().st_size > _MAX_JSON:
        return {}
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        return {}
    if not isinstance(values, dict) or any(isinstance(value, dict | list | str) for value in values.values()):
        return {}
    return read_figures(values)


def _same(some: dict[str, Figure], others: dict[str, Figure]) -> bool:
    return all(name in others and math.isclose(figure.value, others[name].value, rel_tol=1e-6)
               for name, figure in some.items() if not name.endswith("_n"))


def _tested(log: Path) -> str:
    """What a test measured, as its config says: ``step299``, or the model before training."""
    try:
        text = (log / "vis_data" / "config.py").read_text(encoding="utf-8")
    except OSError:
        return log.name
    named = re.search(r"^load_from = ['\"](.*)['\"]$", text, re.MULTILINE)
    return f"{Path(named[1]).name if named else 'before training'} ({log.name})"


def read_cost(folder: Path) -> Cost | None:
    """The sum over all starts; what the first process says counts for iterations and the clock."""
    found = []
    for file in sorted(folder.glob(f"*/{COST_FILES}")):
        figures = {name: figure.value for name, figure in _read_metrics(file).items()}
        if figures.keys() >= {"iterations", "seconds", "cpu_seconds"}:
            found.append((figures, file.stem == "cost"))
    if not found:
        return None
    iterations, seconds = (sum(cost[name] for cost, first in found if first) for name in ("iterations", "seconds"))
    return Cost(int(iterations), seconds, sum(cost["cpu_seconds"] for cost, _ in found))


def read_best(folder: Path) -> tuple[int, str] | None:
    """The step that the training kept as its best, and the value of its metric in words."""
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        return int(record["step"]), f"{record['metric']} = {number(float(record['value']))}"
    except (OSError, ValueError, LookupError, TypeError, OverflowError, RecursionError):
        return None


def read_environment(folder: Path) -> list[str]:
    """The lines on machine and versions at the beginning of the newest log."""
    for log in sorted(folder.glob("*/*.log"), reverse=True):
        lines: list[str] = []
        with log.open(encoding="utf-8", errors="replace") as file:
            for line in file:
                if lines and re.match(r"\d{4}/\d\d/\d\d ", line):
                    return lines[1:]
                if lines or line.rstrip().endswith("Environment:"):
                    lines.append(line.strip())
    return []
