"""All figures of a miniature: what it paints, what its VAE keeps, how large it is and how fast."""

import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from diffkit.apis.load_pipeline import load_pipeline
from diffkit.apis.measure import report
from diffkit.apis.measure.pictures import SETTINGS, Say, sample, score
from diffkit.apis.measure.vae import measure_vae
from diffkit.apis.package_miniature import MAX_BYTES
from diffkit.datasets import NamedGroups, ShapesPrompts
from diffkit.evaluation import PromptAccuracy
from diffkit.models.generation import GenerationSettings, generate
from diffkit.utils.pretrained import PACKAGED, resolve_pretrained

PARTS = ("vae", "files", "speed", "reload", "prompts")


@dataclass(frozen=True)
class Goal:
    """A figure of the table, and what it has to reach.

    Attributes:
        label: the figure in words.
        part: where it lies in the results, for instance ``("prompts", "plain")``.
        name: the figure's name there.
        least: what is asked for; None for a figure that is only reported.
    """

    label: str
    part: tuple[str, str]
    name: str
    least: float | None = None


GOALS = (
    Goal("shape and colour right", ("prompts", "plain"), "sc", 0.95),
    Goal("shape", ("prompts", "plain"), "shape"),
    Goal("colour", ("prompts", "plain"), "colour"),
    Goal("background", ("prompts", "plain"), "background", 0.97),
    Goal("size", ("prompts", "plain"), "size", 0.9),
    Goal("position", ("prompts", "plain"), "position", 0.9),
    Goal("texture, of objects with a pattern", ("prompts", "textured"), "texture", 0.85),
    Goal("shape and both colours, of objects with a pattern", ("prompts", "textured"), "sc"),
    Goal("background, behind objects with a pattern", ("prompts", "textured"), "background"),
    Goal("size, of objects with a pattern", ("prompts", "textured"), "size"),
    Goal("position, of objects with a pattern", ("prompts", "textured"), "position"),
    Goal("shape and colour, of pairs that training never showed", ("prompts", "heldout"), "sc", 0.9),
    Goal("VAE: shape and colour of drawings", ("vae", "all"), "sc", 0.98),
    Goal("VAE: the same, plain objects", ("vae", "plain"), "sc"),
    Goal("VAE: the same, objects with a pattern", ("vae", "textured"), "sc"),
    Goal("VAE: texture of objects with a pattern", ("vae", "textured"), "texture"),
    Goal("VAE: PSNR of drawings, dB", ("vae", "all"), "psnr"),
    Goal("VAE: pictures of concepts recognised", ("vae", "concepts"), "all", 0.8),
    Goal("VAE: PSNR of photographs, dB", ("vae", "photos"), "psnr", 24.0),
)
#: What is asked of every miniature. mini-sdxl shares the VAE of mini-sd, of which it is asked already.
MINIATURES = {
    "mini-sd": GOALS,
    "mini-sdxl": tuple(
        replace(goal, least=0.93 if (goal.part, goal.name) == (("prompts", "plain"), "sc") else None)
        for goal in GOALS),
}


def measure_miniature(
    pretrained: str | Path = "mini-sd",
    *,
    name: str = "mini-sd",
    n: int = 256,
    photos: str | Path | None = None,
    parts: Sequence[str] = PARTS,
    out: str | Path | None = None,
    command: str | None = None,
    say: Say = print,
) -> str:
    """Measures a pipeline of the shapes world, writes ``<out>.json`` and ``<out>.md``, and returns the table.

    A part that is not measured now keeps its earlier results, if those are of the same weights.

    Args:
        pretrained: see :func:`diffkit.utils.pretrained.resolve_pretrained`.
        name: which of ``MINIATURES`` says what is asked for.
        n: prompts, and drawings for the VAE, of each kind; 256 or more for a claim.
        photos: a folder of photographs for the VAE.
        parts: of ``PARTS``.
        out: path of the results without suffix; None is the file of ``name`` in ``docs/results``.
        command: what the results say they were made by.
        say: called with lines of progress.

    Raises:
        ValueError: a part is unknown, or n is below 1.
    """
    report.check_names("parts", parts, PARTS)
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}")
    file = Path(out or f"docs/results/{PACKAGED[name]}").with_suffix(".json")
    digest = report.pretrained_digest(pretrained)
    results = report.read_results(file)
    if results.get("about", {}).get("weights") != digest:
        results = {}
    results["about"] = report.about(
        command or f"diffkit measure {name}", pretrained=str(pretrained), weights=digest,
        sampling=f"DPM-Solver++, {_words(SETTINGS)}")
    pipe = load_pipeline(pretrained)
    for part in (each for each in PARTS if each in parts):
        results[part] = measure_files(pretrained) if part == "files" else _measure(part, pipe, n, photos, say)
        report.write_results(file, results)
    text = miniature_table(results, MINIATURES[name])
    file.with_suffix(".md").write_text(text, encoding="utf-8")
    return text


def _measure(part: str, pipe: Any, n: int, photos: str | Path | None, say: Say) -> dict[str, Any]:
    if part == "vae":
        return measure_vae(pipe, n, photos, say=say)
    if part == "speed":
        return measure_speed(pipe)
    if part == "reload":
        return measure_reload(pipe)
    return measure_prompts(pipe, n, say=say)


def measure_files(pretrained: str | Path) -> dict[str, int]:
    """The bytes of a pipeline's folder, all files together; nothing for a hub id."""
    folder = resolve_pretrained(pretrained)
    if not isinstance(folder, Path):
        return {}
    return {"bytes": sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())}


def measure_prompts(
    pipe: Any, n: int, settings: GenerationSettings = SETTINGS, seed: int = 0, say: Say = print
) -> dict[str, dict[str, float]]:
    """Prompt accuracy of ``n`` prompts of each kind: plain, textured, and plain with held-out pairs."""
    kinds = {"plain": ("train", "plain"), "textured": ("train", "textured"), "heldout": ("heldout", "plain")}
    groups = {name: ShapesPrompts(n, seed, split, kind) for name, (split, kind) in kinds.items()}
    say(f"Prompts: {n} of each kind, {len(groups) * n} pictures")
    found = score(PromptAccuracy(), sample(pipe, NamedGroups(groups), settings, say=say))
    return {
        kind: {name.partition("/")[2]: value for name, value in found.items() if name.startswith(f"{kind}/")}
        for kind in kinds
    }


def measure_speed(pipe: Any, pictures: int = 4, repeats: int = 3) -> dict[str, float]:
    """Seconds for some pictures at once on one thread: the median by the clock, and of the processor."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    prompts, seeds = ["a photo of a large red circle on a blue background"] * pictures, range(pictures)
    clock, processor = [], []
    try:
        generate(pipe, prompts, seeds, SETTINGS.updated(num_inference_steps=2))
        for _ in range(repeats):
            began, worked = time.perf_counter(), time.process_time()
            generate(pipe, prompts, seeds, SETTINGS)
            clock.append(time.perf_counter() - began)
            processor.append(time.process_time() - worked)
    finally:
        torch.set_num_threads(threads)
    return {"seconds": median(clock), "cpu_seconds": median(processor), "pictures": pictures}


def measure_reload(pipe: Any) -> dict[str, Any]:
    """The largest difference, in levels of 255, between a picture before and after saving and loading."""
    def paint(painter: Any) -> np.ndarray:
        prompt = "a photo of a purple and white striped heart on a green background"
        return np.asarray(generate(painter, [prompt], [7], SETTINGS)[0]).astype(int)

    before = paint(pipe)
    with tempfile.TemporaryDirectory() as folder:
        pipe.save_pretrained(folder, safe_serialization=True)
        after = paint(load_pipeline(folder, device=pipe.device, dtype=pipe.dtype))
    return {"largest_difference": int(np.abs(before - after).max())}


def miniature_table(results: dict[str, Any], goals: Sequence[Goal] = GOALS) -> str:
    """The results as Markdown."""
    rows = []
    for goal in goals:
        part, kind = goal.part
        found = results.get(part, {}).get(kind, {})
        if goal.name in found:
            digits = 1 if "dB" in goal.label else 3
            rows.append((
                goal.label, report.share(found, goal.name, digits), found[f"{goal.name}_n"],
                "" if goal.least is None else f"≥ {goal.least:g}",
                "" if goal.least is None else report.yes(found[goal.name] >= goal.least)))
    text = report.table(("figure", "value ± standard error", "n", "asked", "reached"), rows)
    concepts = results.get("vae", {}).get("concepts", {})
    names = [name for name in concepts if f"{name}_se" in concepts and name != "all"]
    if names:
        text += "\n" + report.table(
            ("concept, after the VAE", "recognised ± standard error", "n"),
            [(name, report.share(concepts, name), concepts[f"{name}_n"]) for name in names])
    lines = []
    if results.get("files"):
        lines.append(f"Its files have {results['files']['bytes']:,} bytes; at most {MAX_BYTES:,} are asked for.")
    if "speed" in results:
        speed = results["speed"]
        lines.append(f"{speed['pictures']} pictures at {SETTINGS.num_inference_steps} steps on one thread: "
                     f"{speed['seconds']:.1f} s by the clock, {speed['cpu_seconds']:.1f} s of the processor.")
    if "reload" in results:
        difference = results["reload"]["largest_difference"]
        lines.append(f"Saved and loaded again, it paints {'the same picture' if difference == 0 else 'a picture'}"
                     f"{'' if difference == 0 else f' that differs by up to {difference} of 255 levels'}.")
    facts = results["about"]
    lines.append(f"Weights {facts['weights']} of `{facts['pretrained']}`; {facts['sampling']}.")
    return text + "\n" + "\n".join(lines) + "\n\n" + report.footer(facts)


def _words(settings: GenerationSettings) -> str:
    values = asdict(settings)
    return f"{values['num_inference_steps']} steps, guidance {values['guidance_scale']:g}"
