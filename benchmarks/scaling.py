"""What a training step costs, in time and in memory, along one axis at a time around a base point."""

import argparse
import gc
import json
import math
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.floor import flop_counter
from benchmarks.pipelines import SIZES, pipeline_spec, save_pipeline
from benchmarks.scaling_report import scaling_plot, scaling_table
from benchmarks.stepping import picture_options, stepped, stepped_config
from benchmarks.writing import write_up
from diffkit.apis.measure import report
from diffkit.apis.measure.interleaved import interleaved, one_thread, ratios
from diffkit.apis.measure.pictures import Say, quiet
from diffkit.evaluation.memory import PeakBytes
from diffkit.models.families.sd import StableDiffusion
from diffkit.utils.quiet import quieten_libraries

CONFIG = "stable_diffusion_v15_dreambooth_lora_dog"
_ROOT = Path(__file__).resolve().parents[1]

Point = dict[str, Any]
#: For each axis the values of its points; where the base lies on it :data:`BASE` says. ``resolution`` is a factor of
#: the size's own pixels, ``width`` one of the UNet's channels.
AXES: dict[str, Sequence[float]] = {
    "batch": (1, 2, 4), "resolution": (0.5, 1, 1.5), "width": (0.5, 1, 1.5), "rank": (1, 8, 64), "images": (2, 8, 16)}
BASE: dict[str, float] = {"batch": 1, "resolution": 1, "width": 1, "rank": 8, "images": 2}
#: Measured in processes of their own.
PROCESSES = (1, 2)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("--axes", nargs="+", default=[*AXES, "processes"], metavar="NAME",
                        help=f"{', '.join(AXES)}, processes; results of others stay")
    parser.add_argument("--rounds", type=int, default=5, help="in which the points of an axis take turns")
    parser.add_argument("--size", choices=list(SIZES), default="proxy", help="of the base point")
    parser.add_argument("--out", default="docs/results/speed_scaling", help="path of the results without suffix")
    parser.add_argument("--plot", default="docs/images/speed_scaling.svg", help="path of the picture")


def main(args: argparse.Namespace) -> None:
    """Measures, and writes after each axis what is there so far."""
    quieten_libraries()
    words = sys.argv[2:] if sys.argv[1:2] == ["scaling"] else []
    print(measure_scaling(axes=args.axes, rounds=args.rounds, size=args.size, out=args.out, plot=args.plot,
                          command=shlex.join(["python", "-m", "benchmarks", "scaling", *words]),
                          say=partial(print, flush=True)))


def measure_scaling(
    *,
    axes: Sequence[str] = (*AXES, "processes"),
    rounds: int = 5,
    size: str = "proxy",
    out: str | Path = "docs/results/speed_scaling",
    plot: str | Path = "docs/images/speed_scaling.svg",
    command: str = "python -m benchmarks scaling",
    say: Say = quiet,
) -> str:
    """Measures LoRA steps around a base point and writes ``<out>.json``, ``<out>.md`` and a plot.

    Args:
        axes: names of :data:`AXES`, and ``processes``; the file's results of others with the same setting stay.
        rounds: 1 or more.
        size: of :data:`benchmarks.pipelines.SIZES`.
        out: path of the results without suffix.
        plot: path of the picture.
        command: what the results say they were made by.
        say: called with lines of progress.

    Returns:
        The table, as Markdown.

    Raises:
        ValueError: an axis is unknown, or rounds is below 1.
    """
    report.check_names("axes", axes, [*AXES, "processes"])
    if rounds < 1:
        raise ValueError(f"rounds must be at least 1, got {rounds}")
    setting = {"size": size, "pixels": SIZES[size].pixels, "config": CONFIG, "base": BASE}
    before = report.read_results(Path(out).with_suffix(".json"))
    results: dict[str, Any] = {
        "setting": setting, "axes": dict(before["axes"]) if before.get("setting") == setting else {}}
    text = ""
    with one_thread(), tempfile.TemporaryDirectory() as folder:
        results["about"] = report.about(command)
        for axis in axes:
            say(axis)
            measure = process_points if axis == "processes" else axis_points
            results["axes"][axis] = measure(axis, size, rounds, Path(folder), say)
            text = scaling_table(results)
            write_up(results, text, scaling_plot(results), out, plot)
            gc.collect()
    return text


def point_options(point: Mapping[str, float], size: str, folder: Path) -> dict[str, Any]:
    """The options that make the config a point: its pipeline and pictures are written to a folder.

    Args:
        point: values of all :data:`AXES`.
        size: of :data:`benchmarks.pipelines.SIZES`.
        folder: kept between points.
    """
    side = resolution_of(point["resolution"], size)
    pictures = folder / f"{point['images']}_pictures_of_{side}"
    return {"model.pretrained": str(pipeline_of(point["width"], size, folder)), "optim_wrapper.dtype": None,
            "model.tuners.unet.rank": int(point["rank"]), "train_dataloader.batch_size": int(point["batch"]),
            **picture_options(pictures, int(point["images"]), side, concept=True)}


def resolution_of(factor: float, size: str) -> int:
    """Pixels a side; a multiple of what the VAE and the UNet together reduce a picture by."""
    step = 2 ** (len(SIZES[size].vae) - 1 + 3)
    return max(step, round(factor * SIZES[size].pixels / step) * step)


def pipeline_of(width: float, size: str, folder: Path) -> Path:
    """A folder with a pipeline whose UNet has so many times the size's channels."""
    if width == 1:
        return save_pipeline(folder / size, size)
    path = folder / f"{size}_{width}"
    if not (path / "model_index.json").is_file():
        spec = pipeline_spec(size)
        groups = spec["unet"]["norm_num_groups"]
        spec["unet"]["block_out_channels"] = tuple(
            max(groups, round(width * channels / groups) * groups) for channels in spec["unet"]["block_out_channels"])
        family = StableDiffusion(scratch=spec)
        family.pipeline(family.load(None)).save_pretrained(path)
    return path


def axis_points(axis: str, size: str, rounds: int, folder: Path, say: Say = quiet) -> dict[str, Any]:
    """Measures the points of an axis, which take turns.

    Returns:
        For each point ``cpu_seconds`` and ``seconds`` of a step (lists), ``of_base`` (the ratio to the base point, by
        round), ``bytes``, ``flops``, and ``seconds_per_image``: what a picture's first coming costs beyond a step.
    """
    runners, points = {}, {}
    for number, value in enumerate(AXES[axis]):
        options = point_options({**BASE, axis: value}, size, folder)
        name = label(axis, value, size)
        runners[name] = stepped(stepped_config(CONFIG, folder / f"run_{axis}_{number}", options))
        points[name] = {"value": value, "is_base": value == BASE[axis], **first_steps(runners[name])}
    base = label(axis, BASE[axis], size)
    times = interleaved({name: runner.train_loop.step for name, runner in runners.items()}, rounds, say)
    for name, runner in runners.items():
        first = points[name].pop("first_seconds")
        steps, images = len(first), len(runner.train_dataloader.dataset)
        step = median(times[name]["cpu_seconds"])
        points[name].update(times[name], of_base=ratios(times, name, base),
                            seconds_per_image=(sum(first) - steps * step) / images)
    return points


def label(axis: str, value: float, size: str) -> str:
    """What a point is called."""
    if axis == "resolution":
        return f"{resolution_of(value, size)} px"
    return f"{value:g} x" if axis == "width" else f"{value:g}"


def first_steps(runner: Any) -> dict[str, Any]:
    """Sees all pictures once, and then counts a step.

    Returns:
        ``first_seconds`` of the processor in each of the steps that see a picture for the first time, ``flops``, and
        ``bytes``: ``weights`` of all parts, ``state`` of the optimizer, and ``step``: the most of all other tensors.
    """
    loop, loader = runner.train_loop, runner.train_dataloader
    first = []
    for _ in range(math.ceil(len(loader.dataset) / loader.batch_size)):
        began = time.process_time()
        loop.step()
        first.append(time.process_time() - began)
    with flop_counter() as counter, PeakBytes() as memory:
        loop.step()
    model, optimizer = runner.bare_model, runner.optim_wrapper.optimizer
    weights = sum(value.nbytes for part in model.components.values() for value in part.parameters())
    state = sum(value.nbytes for values in optimizer.state.values() for value in values.values())
    return {"first_seconds": first, "flops": counter.get_total_flops(),
            "bytes": {"weights": weights, "state": state, "step": memory.peak}}


def process_points(axis: str, size: str, rounds: int, folder: Path, say: Say = quiet) -> dict[str, Any]:
    """Measures the base point in one process and in several with gloo, each twice, by turns; see :func:`axis_points`.

    Each process has the base's batch. A value is that of the slowest process; ``peak_rss`` that of the largest.
    """
    point = {**BASE, "images": max(BASE["images"], max(PROCESSES) * BASE["batch"])}
    options = folder / "processes.json"
    options.write_text(json.dumps(point_options(point, size, folder)), encoding="utf-8")
    found: dict[str, Any] = {
        str(count): {"value": count, "is_base": count == PROCESSES[0], "cpu_seconds": [], "peak_rss": 0}
        for count in PROCESSES}
    for number in range(2):
        for count in PROCESSES:
            ranks = _launch(count, options, folder / f"processes_{number}_{count}", math.ceil(rounds / 2))
            steps = [max(seconds) for seconds in zip(*(rank["cpu_seconds"] for rank in ranks), strict=True)]
            found[str(count)]["cpu_seconds"] += steps
            found[str(count)]["peak_rss"] = max(found[str(count)]["peak_rss"], *(rank["peak_rss"] for rank in ranks))
            say(f"  {count} processes: {median(steps):.2f} s a step")
    for name, values in found.items():
        values["of_base"] = ratios(found, name, str(PROCESSES[0]))
    return found


def _launch(count: int, options: Path, folder: Path, steps: int) -> list[dict[str, Any]]:
    """Runs :mod:`benchmarks.one_process` in so many processes.

    Raises:
        OSError: it failed; the message has its last lines.
    """
    folder.mkdir()
    words = ["-m", "benchmarks.one_process", CONFIG, str(options), str(folder), str(steps)]
    if count > 1:
        words = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}", *words]
    paths = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))
    done = subprocess.run([sys.executable, *words], env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": paths},
                          capture_output=True, text=True)
    if done.returncode:
        raise OSError(f"{count} processes failed: {done.stderr[-2000:]}")
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("rank*.json"))]
