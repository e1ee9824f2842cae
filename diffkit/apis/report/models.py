"""Models side by side: what they are, what they cost, and what they paint from the same noise."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from diffkit.apis.report.figures import Figure
from diffkit.apis.report.run import Run
from diffkit.engine.files import folder_size
from diffkit.evaluation.reconstruction import psnr
from diffkit.evaluation.shares import mean_and_error
from diffkit.evaluation.similarity import WINDOW, ssim
from diffkit.utils.pretrained import resolve_pretrained, unroll_pretrained
from diffkit.utils.step_folder import read_step_folder

Say = Callable[[str], None]


@dataclass(frozen=True)
class Comparison:
    """What every model paints, and how it is measured.

    Attributes:
        prompts: each is painted from each seed.
        seeds: of the noise.
        num_inference_steps: of the sampler.
        guidance_scale: of classifier-free guidance.
        height: pixels; None takes each model's own.
        width: pixels; None takes each model's own.
        repeats: how often the first picture is timed.
        batch_size: pictures at once, after the timing.
        device: None takes a GPU where there is one.
        dtype: number format; "auto" goes by the device.
        kernels: of a quantised UNet, see :func:`diffkit.apis.load_pipeline`.
    """

    prompts: Sequence[str]
    seeds: Sequence[int] = (0, 1)
    num_inference_steps: int = 25
    guidance_scale: float = 7.5
    height: int | None = None
    width: int | None = None
    repeats: int = 3
    batch_size: int = 4
    device: str | None = None
    dtype: str = "auto"
    kernels: str = "auto"

    def job(self, model: str, out: Path) -> dict[str, Any]:
        """What :mod:`diffkit.apis.report.painter` reads."""
        settings = {name: getattr(self, name)
                    for name in ("num_inference_steps", "guidance_scale", "height", "width")}
        others = {name: value for name, value in asdict(self).items() if name not in settings}
        return {**others, "settings": settings, "model": model, "out": str(out)}


@dataclass
class Model:
    """A model of the comparison.

    Attributes:
        label: its name in the page.
        name: what it is loaded from.
        kind: what that holds, in words.
        bytes: of its own files, without what only a resumed training reads; None for a model of the hub.
        unet_bytes: of the file of its UNet, wherever that lies; None likewise.
        result: what the painter measured; empty where it failed.
        fault: why it failed.
        pictures: by prompt and seed, as in :class:`Comparison`.
        similarity: ``psnr`` and ``ssim`` to the first model's pictures.
    """

    label: str
    name: str
    kind: str
    bytes: int | None
    unet_bytes: int | None
    result: dict[str, Any] = field(default_factory=dict)
    fault: str = ""
    pictures: list[Image.Image] = field(default_factory=list)
    similarity: dict[str, Figure] = field(default_factory=dict)


def read_models(names: Sequence[str]) -> list[Model]:
    """Finds models by name, each perhaps with a label: ``NAME`` or ``LABEL=NAME``; nothing is loaded.

    Raises:
        PretrainedError: a name stands for nothing.
        ValueError: a label comes twice, or a step folder does not say what it lies on.
    """
    models = [_find(name) for name in names]
    labels = [model.label for model in models]
    twice = sorted({label for label in labels if labels.count(label) > 1})
    if twice:
        raise ValueError(f"--models: {twice[0]!r} comes twice; give labels: LABEL=NAME")
    return models


def models_of_runs(runs: Sequence[Run]) -> list[str]:
    """What the newest step folder of each training lies on, and the folder itself."""
    names: list[str] = []
    for run in runs:
        folders = [each.folder for each in run.checkpoints if each.folder is not None]
        if not folders:
            raise ValueError(f"--models auto: {run.folder} has no step folder with a model")
        base = folders[-1].base
        if base and base not in [name.rpartition("=")[2] for name in names]:
            names.append(base if names else f"base={base}")
        names.append(f"{run.name.replace('=', ':')}={folders[-1].path}")
    return names


def prompts_of(runs: Sequence[Run], models: Sequence[Model], most: int = 6) -> list[str]:
    """Prompts that the trainings sampled, or that the step folders name; some of them."""
    found = [sample.prompt for run in runs for sample in run.samples]
    for model in models:
        step = read_step_folder(model.name) if Path(model.name).is_dir() else None
        found += [text for text in (step.info.get("prompts") or [] if step else []) if isinstance(text, str)]
    if not found:
        raise ValueError("--prompt: neither the trainings nor the models name prompts; give some")
    return list(dict.fromkeys(found))[:most]


def compare(models: Sequence[Model], wanted: Comparison, say: Say = print) -> None:
    """Lets each model paint, one after the other, each in its own process; fills the models in."""
    for number, model in enumerate(models, start=1):
        say(f"{model.label} ({number} of {len(models)}): {len(wanted.prompts) * len(wanted.seeds)} pictures")
        with tempfile.TemporaryDirectory() as folder:
            _paint(model, wanted, Path(folder))
        if model.fault:
            say(f"{model.label}: {model.fault}")
    for model in models[1:]:
        model.similarity = similarity(models[0].pictures, model.pictures)


def similarity(first: Sequence[Image.Image], second: Sequence[Image.Image]) -> dict[str, Figure]:
    """PSNR in dB and SSIM of pictures to others, one by one; nothing where they are not of one size.

    SSIM is left out where they are smaller than its window.
    """
    pairs = [(np.asarray(a), np.asarray(b)) for a, b in zip(first, second, strict=False) if a.size == b.size]
    if not pairs or len(pairs) < len(first):
        return {}
    found = {}
    small = min(min(a.shape[:2]) for a, _ in pairs) < WINDOW
    for name, measure in (("psnr", psnr),) if small else (("psnr", psnr), ("ssim", ssim)):
        values = mean_and_error(name, [measure(a, b) for a, b in pairs])
        spread = values[f"{name}_se"] if len(pairs) > 1 else None
        found[name] = Figure(values[name], spread, len(pairs))
    return found


def _paint(model: Model, wanted: Comparison, folder: Path) -> None:
    job = folder / "job.json"
    job.write_text(json.dumps(wanted.job(model.name, folder)), encoding="utf-8")
    import diffkit

    package = str(Path(diffkit.__file__).parents[1])
    paths = os.pathsep.join([package, *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run([sys.executable, "-m", "diffkit.apis.report.painter", str(job)], check=False, text=True,
                          capture_output=True, env={**os.environ, "PYTHONPATH": paths})
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        model.fault = lines[-1] if lines else f"the process that painted ended with status {done.returncode}"
        return
    model.result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    for name in model.result["pictures"]:
        with Image.open(folder / name) as image:
            model.pictures.append(image.convert("RGB"))


def _find(given: str) -> Model:
    label, sign, name = given.partition("=")
    if not sign or Path(given).exists():
        label, name = "", given
    source = resolve_pretrained(name)
    step = read_step_folder(source) if isinstance(source, Path) else None
    beneath, _ = unroll_pretrained(name)
    kind = "a model of the hub" if step is None else step.describe().partition(": ")[2]
    unet = step.quantized if step is not None and step.quantized is not None else _unet_of(beneath)
    size = None if unet is None else folder_size(unet)
    return Model(label or _short(name), str(name), kind, _own_bytes(source), size)


def _unet_of(source: str | Path) -> Path | None:
    folder = Path(source) / "unet"
    return folder if isinstance(source, Path) and folder.is_dir() else None


def _own_bytes(source: str | Path) -> int | None:
    if not isinstance(source, Path):
        return None
    return folder_size(source) - folder_size(source / "state")


def _short(name: str) -> str:
    """``run/step299`` for a step folder, the last part of any other name."""
    parts = Path(name).parts
    return "/".join(parts[-2:]) if parts[-1].startswith("step") and len(parts) > 1 else parts[-1]
