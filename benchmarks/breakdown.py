"""Where a training step goes: its parts by processor time, with and without caches, and the ratio to the floor."""

import argparse
import gc
import math
import shlex
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.breakdown_report import breakdown_plot, breakdown_table
from benchmarks.floor import MachineRate, flop_counter
from benchmarks.parts import Parts, counted
from benchmarks.pipelines import SIZES, save_pipeline
from benchmarks.stepping import picture_options, stepped, stepped_config
from benchmarks.writing import write_up
from diffkit.apis.measure import report
from diffkit.apis.measure.interleaved import one_thread
from diffkit.apis.measure.pictures import Say, quiet
from diffkit.utils.quiet import quieten_libraries

#: ``model.cache_latents`` and ``model.cache_text`` of each half of the table.
CACHES = {"on": True, "off": False}
#: A config as it is, with its own pipeline, batch and data.
OWN = "own"
#: Steps before the timed ones, at most, however many pictures there are.
WARM_UP = 20


@dataclass(frozen=True)
class Method:
    """A config that is taken apart when none is named.

    Attributes:
        label: in the table.
        config: of diffkit.
        concept: its pictures show one thing and have one prompt.
        options: that replace values of the config.
    """

    label: str
    config: str
    concept: bool
    options: Mapping[str, Any]


_PLAIN = {"optim_wrapper.dtype": None, "optim_wrapper.accumulative_counts": 1}
_WHOLE = {**_PLAIN, "model.gradient_checkpointing": False}
METHODS = {
    "lora": Method("DreamBooth, LoRA", "stable_diffusion_v15_dreambooth_lora_dog", True, _PLAIN),
    "full_ema": Method("full fine-tuning, EMA", "stable_diffusion_v15_text_to_image", False, _WHOLE),
    "kd": Method("block removal, distillation", "stable_diffusion_v15_small", False,
                 {**_WHOLE, "model.distiller.dtype": "float32"}),
    "qat": Method("8 bits, the float UNet teaches", "stable_diffusion_v15_qat_kd_laion", False,
                  {**_WHOLE, "custom_hooks.0.num_prompts": 2, "custom_hooks.0.batch_size": 2,
                   "custom_hooks.0.num_inference_steps": 1}),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("config", nargs="?", help="a config or the name of one; left out, four methods are measured")
    parser.add_argument("--steps", type=int, default=8, help="that are timed, half of them without looking inside")
    parser.add_argument("--size", choices=[*SIZES, OWN], default="proxy",
                        help=f"of the pipeline with random weights, on drawn pictures; {OWN}: the config as it is")
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument("--images", type=int, default=2, help="pictures that the training has")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), metavar="NAME", help=", ".join(METHODS))
    parser.add_argument("--out", default="docs/results/speed_breakdown", help="path of the results without suffix")
    parser.add_argument("--plot", default="docs/images/speed_breakdown.svg", help="path of the picture")


def main(args: argparse.Namespace) -> None:
    """Measures, and writes after each training what is there so far."""
    quieten_libraries()
    words = sys.argv[2:] if sys.argv[1:2] == ["breakdown"] else []
    text = measure_breakdown(
        config=args.config, steps=args.steps, size=args.size, batch_size=args.batch_size, images=args.images,
        methods=args.methods, out=args.out, plot=args.plot,
        command=shlex.join(["python", "-m", "benchmarks", "breakdown", *words]), say=partial(print, flush=True))
    print(text)


def measure_breakdown(
    *,
    config: str | Path | None = None,
    steps: int = 8,
    size: str = "proxy",
    batch_size: int = 1,
    images: int = 2,
    methods: list[str] | None = None,
    out: str | Path = "docs/results/speed_breakdown",
    plot: str | Path = "docs/images/speed_breakdown.svg",
    command: str = "python -m benchmarks breakdown",
    say: Say = quiet,
) -> str:
    """Takes the steps of trainings apart and writes ``<out>.json``, ``<out>.md`` and a plot.

    Args:
        config: of one training; None takes ``methods``.
        steps: timed steps of each training, an even number of 2 or more.
        size: of the pipeline (:data:`benchmarks.pipelines.SIZES`), or ``own`` for the config's own pipeline and data.
        batch_size: pictures of a step.
        images: pictures of the training.
        methods: of :data:`METHODS`; results of others that the file has stay.
        out: path of the results without suffix.
        plot: path of the picture.
        command: what the results say they were made by.
        say: called with lines of progress.

    Returns:
        The table, as Markdown.

    Raises:
        ValueError: an argument is out of range, or a method is unknown.
    """
    for name, value, least in (("steps", steps, 2), ("batch_size", batch_size, 1), ("images", images, 1)):
        if value < least or (name == "steps" and value % 2):
            raise ValueError(f"{name} must be {'an even number of ' if name == 'steps' else ''}at least {least}, "
                             f"got {value}")
    names = list(METHODS) if methods is None else methods
    report.check_names("methods", names, METHODS)
    if config is None and size == OWN:
        raise ValueError("--size own needs a CONFIG")
    own = [] if config is None else [Method(Path(config).stem, str(config), False, {})]
    chosen = own or [METHODS[name] for name in names]
    setting = {"size": size, "batch_size": batch_size, "images": images, "steps": steps}
    before = report.read_results(Path(out).with_suffix(".json"))
    results: dict[str, Any] = {"setting": setting, "trainings": {}}
    if before.get("setting") == setting and config is None:
        results["trainings"].update(before["trainings"])
    text = ""
    with one_thread(), tempfile.TemporaryDirectory() as folder:
        results["about"] = report.about(command)
        for method in chosen:
            for caches, kept in CACHES.items():
                say(f"{method.label}, caches {caches}")
                options = {**method.options, "model.cache_latents": kept, "model.cache_text": kept}
                if size != OWN:
                    options |= {"train_dataloader.batch_size": batch_size,
                                **_random_pipeline(Path(folder), size, images, method.concept)}
                found = training_parts(method.config, options, steps, Path(folder) / "run", say)
                setting.update({name: found.pop(name) for name in ("batch_size", "images")})
                results["trainings"][f"{method.label}, caches {caches}"] = {
                    "config": method.config, "caches": caches, **found}
                text = breakdown_table(results)
                write_up(results, text, breakdown_plot(results), out, plot)
                gc.collect()
    return text


def _random_pipeline(folder: Path, size: str, images: int, concept: bool) -> dict[str, Any]:
    pictures = folder / ("concept" if concept else "captioned")
    return {"model.pretrained": str(save_pipeline(folder / size, size)),
            **picture_options(pictures, images, SIZES[size].pixels, concept)}


def training_parts(config: str | Path, options: Mapping[str, Any], steps: int, work_dir: Path,
                   say: Say = quiet) -> dict[str, Any]:
    """What the parts of a training's step take.

    Timed steps are by turns taken apart and left whole; after each pair the machine's rate is measured. Before them all
    pictures are seen, or those of :data:`WARM_UP` steps, and one more step counts operations.

    Args:
        config: see :func:`benchmarks.stepping.stepped_config`.
        options: that replace values of the config.
        steps: timed ones, an even number.
        work_dir: of the training's log.
        say: called with a line at the end.

    Returns:
        ``parts`` (lists of seconds by part), ``apart`` and ``whole`` (lists of a step's seconds, of those that are
        taken apart and of the others), ``flops`` (by part), ``rates`` and ``rate_seconds`` of the machine, and
        ``batch_size`` and ``images`` of the training.
    """
    runner = stepped(stepped_config(config, work_dir, options))
    loader = runner.train_dataloader
    step: Callable[[], None] = runner.train_loop.step
    for _ in range(min(math.ceil(len(loader.dataset) / loader.batch_size) + 1, WARM_UP)):
        step()
    with flop_counter() as counter:
        flops = Parts(lambda: float(counter.get_total_flops()))
        flops.clear()
        with counted(runner, flops):
            step()
    machine, parts = MachineRate(), Parts()
    found: dict[str, Any] = {"parts": {name: [] for name in flops.charged}, "apart": [], "whole": []}
    with counted(runner, parts):
        for number in range(steps):
            parts.active = number % 2 == 0
            parts.clear()
            began = time.process_time()
            step()
            seconds = time.process_time() - began
            found["apart" if parts.active else "whole"].append(seconds)
            if parts.active:
                for name, charged in parts.charged.items():
                    found["parts"][name].append(charged)
            else:
                machine.measure()
    say(f"  {median(found['whole']):.2f} s a step, {median(found['apart']):.2f} s of those that are taken apart")
    return {**found, "flops": flops.charged, "rates": machine.rates(), "rate_seconds": machine.seconds,
            "batch_size": loader.batch_size, "images": len(loader.dataset)}
