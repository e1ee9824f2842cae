"""What a training left in its work folder: config, curves, pictures, metrics, step folders, environment."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from diffkit.apis.report.figures import Figure
from diffkit.apis.report.logged import (
    Cost,
    Curve,
    read_best,
    read_cost,
    read_curves,
    read_environment,
    read_results,
)
from diffkit.engine.checkpoint import list_steps
from diffkit.engine.config_diff import flat_config
from diffkit.engine.files import files_below
from diffkit.utils.images import read_png_metadata
from diffkit.utils.secrets import HIDDEN, TOKEN, is_secret_name
from diffkit.utils.step_folder import StepFolder, read_step_folder

_SAMPLE = re.compile(r"step(\d+)_(\d+)_.*\.png")


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
        cost: what it took; None where nothing says it.
        best: the step that the training kept as its best, and by which metric; None where it kept none.
    """

    name: str
    folder: Path
    config: dict[str, str]
    curves: dict[str, Curve]
    samples: list[Sample]
    results: dict[str, dict[str, Figure]]
    checkpoints: list[Checkpoint]
    environment: list[str]
    cost: Cost | None = None
    best: tuple[int, str] | None = None


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
    return Run(name, folder, _config(folder), read_curves(folder), read_samples(folder / "samples"),
               read_results(folder), checkpoints, read_environment(folder), read_cost(folder), read_best(folder))


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


def read_samples(folder: Path) -> list[Sample]:
    """Single pictures in a folder of samples, by iteration and prompt."""
    found = []
    for path in folder.glob("step*_*.png"):
        named = _SAMPLE.fullmatch(path.name)
        if named is None:
            continue
        about = read_png_metadata(path) if path.exists() else {}  # a link may lead nowhere
        prompt = str(about.get("prompt") or path.stem.split("_", 2)[2].replace("-", " "))
        found.append(Sample(path, int(named[1]), int(named[2]), prompt, about))
    return sorted(found, key=lambda sample: (sample.step, sample.place))
