"""What a training left in its work folder: config, curves, pictures, metrics, step folders, environment."""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from diffkit.apis.report.figures import Figure, is_number, read_figures
from diffkit.engine.checkpoint import list_steps
from diffkit.engine.config_diff import flat_config
from diffkit.engine.files import files_below
from diffkit.utils.images import PNG_KEY
from diffkit.utils.secrets import HIDDEN, TOKEN, is_secret_name
from diffkit.utils.step_folder import StepFolder, read_step_folder

Curve = list[tuple[int, float]]

_SAMPLE = re.compile(r"step(\d+)_(\d+)_.*\.png")
_MAX_JSON = 4_000_000  # bytes of a file of metrics


@dataclass(frozen=True)
class Sample:
    """A picture of a training: its file, the iterations done, its place among the prompts, and the prompt."""

    path: Path
    step: int
    place: int
    prompt: str
    about: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Checkpoint:
    """A step folder: what it holds, the bytes that others load, and the bytes that only a resumed training reads."""

    step: int
    folder: StepFolder | None
    bytes: int
    state_bytes: int


@dataclass(frozen=True)
class Run:
    """A training.

    Attributes:
        name: the name of its folder.
        folder: the work folder.
        config: leaves of the config by dotted path; empty where it cannot be read.
        curves: what was logged, by name.
        samples: pictures taken during the training.
        results: metrics of ``diffkit test``, by the name of their file.
        checkpoints: step folders, oldest first.
        environment: lines of the log on the machine and the versions.
    """

    name: str
    folder: Path
    config: dict[str, str]
    curves: dict[str, Curve]
    samples: list[Sample]
    results: dict[str, dict[str, Figure]]
    checkpoints: list[Checkpoint]
    environment: list[str]


def read_runs(folders: Sequence[str | Path]) -> list[Run]:
    """Reads work folders; of two with one name the path is the name.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: a folder is not that of a training.
    """
    paths = [_work_dir(Path(folder).expanduser()) for folder in folders]
    short = [path.resolve().name for path in paths]
    names = [name if short.count(name) == 1 else str(path) for name, path in zip(short, paths, strict=True)]
    return [read_run(path, name) for path, name in zip(paths, names, strict=True)]


def read_run(folder: Path, name: str) -> Run:
    """Reads one work folder."""
    checkpoints = [_checkpoint(step, path) for step, path in list_steps(folder)]
    return Run(name, folder, _config(folder), read_curves(folder), _samples(folder / "samples"), _results(folder),
               checkpoints, _environment(folder))


def read_curves(folder: Path) -> dict[str, Curve]:
    """What was logged, from all runs into one folder: a resumed one replaces what it did again."""
    points: dict[str, dict[int, float]] = {}
    for file in sorted(folder.glob("*/vis_data/scalars.json")):
        for line in _lines(file):
            step = line.get("step")
            if not isinstance(step, int):
                continue
            for name, value in line.items():
                if name not in ("step", "iter", "epoch") and is_number(value):
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


def _work_dir(path: Path) -> Path:
    if not path.is_dir():
        raise FileNotFoundError(f"WORK_DIR: no folder {str(path)!r}")
    if any(path.glob("*/vis_data")) or list_steps(path) or (path / "samples").is_dir():
        return path
    if read_step_folder(path) is not None:
        raise ValueError(f"WORK_DIR: {path} is a model: give it to --models, and {str(path.parent)!r} here")
    raise ValueError(f"WORK_DIR: {path} is not the folder of a training: it has no step folders, logs or samples")


def _checkpoint(step: int, path: Path) -> Checkpoint:
    sizes = {file: file.stat().st_size for file in files_below(path)}
    state = sum(size for file, size in sizes.items() if "state" in file.relative_to(path).parts[:1])
    try:
        folder = read_step_folder(path)
    except ValueError:  # damaged: its size is all that there is to say
        folder = None
    return Checkpoint(step, folder, sum(sizes.values()) - state, state)


def _config(folder: Path) -> dict[str, str]:
    """The leaves of the newest checkpoint's config, or of the text that the training wrote; nothing is executed."""
    for _, step in reversed(list_steps(folder)):
        try:
            leaves = json.loads((step / "state" / "state.json").read_text(encoding="utf-8"))["config"]
            return _without_secrets({str(key): str(value) for key, value in leaves.items()})
        except (OSError, ValueError, KeyError, AttributeError, TypeError, RecursionError):
            continue
    for file in sorted(folder.glob("*/vis_data/config.py"), reverse=True):
        leaves = _read_text_config(file)
        if leaves:
            return _without_secrets(leaves)
    return {}


def _read_text_config(file: Path) -> dict[str, str]:
    from diffkit.utils.config_check import read_safely
    from diffkit.utils.config_check.faults import ConfigError

    try:
        return flat_config(read_safely(file))
    except (ConfigError, OSError, ValueError):
        return {}


def _without_secrets(leaves: dict[str, str]) -> dict[str, str]:
    return {key: "(hidden)" if any(map(_is_secret, key.split("."))) else TOKEN.sub(HIDDEN, text)
            for key, text in leaves.items()}


def _is_secret(name: str) -> bool:
    return name.lower() == "token" or is_secret_name(name)  # a page is passed on: a bare token is hidden too


def _samples(folder: Path) -> list[Sample]:
    found = []
    for path in folder.glob("step*_*.png"):
        named = _SAMPLE.fullmatch(path.name)
        if named is None:
            continue
        about = png_metadata(path)
        prompt = str(about.get("prompt") or path.stem.split("_", 2)[2].replace("-", " "))
        found.append(Sample(path, int(named[1]), int(named[2]), prompt, about))
    return sorted(found, key=lambda sample: (sample.step, sample.place))


def png_metadata(path: Path) -> dict[str, Any]:
    """What diffkit wrote into a PNG file, with its pixels unread; nothing where the file is damaged or says nothing."""
    from PIL import Image

    try:
        with Image.open(path, formats=("PNG",)) as image:
            about = json.loads(image.info.get(PNG_KEY) or "{}")
    except Exception:  # whatever a damaged file makes Pillow raise
        return {}
    return about if isinstance(about, dict) else {}


def _results(folder: Path) -> dict[str, dict[str, Figure]]:
    """Metrics of ``diffkit test``: those written with ``--out``, and those in the logs that are not among them."""
    found: dict[str, dict[str, Figure]] = {}
    for file in sorted(folder.glob("*.json")):
        figures = _read_metrics(file)
        if figures:
            found[file.stem] = figures
    for file in sorted([*folder.glob("*/*.json"), *folder.glob("*/*/*.json")]):
        if file.stem != file.parent.name:  # MMEngine calls both after the moment
            continue
        figures = {name: figure for name, figure in _read_metrics(file).items() if name not in ("time", "data_time")}
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


def _environment(folder: Path) -> list[str]:
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
