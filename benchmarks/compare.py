"""Trainings by diffkit beside the same trainings by another program's scripts.

Each pair is two processes in turn, the peer and diffkit, of 3 N steps. What a step takes is the slope of the process's
time of the processor between N and 3 N steps, so that neither start-up nor other work on the machine counts.
"""

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.compare_report import compare_table, write_chart
from benchmarks.losses import first_losses
from benchmarks.methods import METHODS, Method, Setting
from benchmarks.pictures import draw_folder
from benchmarks.pipelines import SIZES, save_pipeline
from benchmarks.process import Training, run_training
from benchmarks.programs import diffkit_command, find_script, own_environment, peer_command, peer_environment
from diffkit.apis.measure import report
from diffkit.utils.hashes import file_sha256

OUT, PLOT = "docs/results/speed", "docs/images/speed.svg"
#: Pictures in each folder: so few that all are in the cache after the first steps.
PICTURES = 2
#: Pictures of the class: diffkit draws one at random in each step, and all shall be in the cache after the first.
CLASSES = 1
#: What is measured: the methods beside the scripts; diffkit beside a bare loop; checkpoints; pictures.
PARTS = ("trainings", "overhead", "checkpoint", "sampling")

Say = Callable[[str], None]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    parser.add_argument("--peer", nargs="+", metavar="DIR", required=True,
                        help="checkouts with the scripts: of diffusers, of segmind's distill-sd")
    parser.add_argument("--peer-path", nargs="+", metavar="DIR", default=[],
                        help="folders with packages that the scripts import and diffkit does not need (datasets)")
    parser.add_argument("--methods", nargs="+", metavar="NAME", default=list(METHODS),
                        help=f"of {', '.join(METHODS)} (default: all)")
    parser.add_argument("--parts", nargs="+", metavar="NAME", default=list(PARTS),
                        help=f"of {', '.join(PARTS)} (default: all)")
    parser.add_argument("--pairs", type=int, default=5, help="5 or more for a claim (default: %(default)s)")
    parser.add_argument("--steps", type=int, help="N (default: the method's)")
    parser.add_argument("--size", default="proxy", help=f"of the pipeline: {', '.join(SIZES)} (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=1, help="pictures of a step (default: %(default)s)")
    parser.add_argument("--rank", type=int, default=4, help="of adapters (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="(default: %(default)s)")
    parser.add_argument("--work-dir", default="work_dirs/compare", help="(default: %(default)s)")
    parser.add_argument("--out", default=OUT, help="results, without suffix (default: %(default)s)")
    parser.add_argument("--plot", default=PLOT, help="the drawing (default: %(default)s)")


def main(args: argparse.Namespace) -> None:
    """Runs the command and prints the table."""
    command = " ".join(["python -m benchmarks compare --peer", *(f"<{Path(peer).name}>" for peer in args.peer)])
    print(compare(peers=args.peer, peer_path=args.peer_path, methods=args.methods, parts=args.parts,
                  pairs=args.pairs, steps=args.steps, size=args.size, batch=args.batch, rank=args.rank, seed=args.seed,
                  work_dir=args.work_dir, out=args.out, plot=args.plot, command=command))


def compare(*, peers: Sequence[str | Path], peer_path: Sequence[str | Path] = (),
            methods: Sequence[str] = tuple(METHODS), parts: Sequence[str] = PARTS, pairs: int = 5,
            steps: int | None = None, size: str = "proxy", batch: int = 1, rank: int = 4, seed: int = 0,
            work_dir: str | Path = "work_dirs/compare", out: str | Path = OUT, plot: str | Path = PLOT,
            command: str = "python -m benchmarks compare", say: Say = print,
            table: Mapping[str, Method] = METHODS) -> str:
    """Compares methods, writes ``<out>.json`` after each, ``<out>.md`` and a chart, and returns the table.

    Methods of an earlier call that are not named stay in the results.

    Args:
        peers: folders in which the scripts are looked for, in this order.
        peer_path: folders for the peers' ``PYTHONPATH``.
        methods: of ``table``.
        parts: of :data:`PARTS`.
        pairs: of processes, 1 or more.
        steps: N; None takes the method's.
        size: of :data:`~benchmarks.pipelines.SIZES`.
        batch: pictures of a step, those of the class not counted.
        rank: of adapters.
        seed: of both programs.
        work_dir: for pipelines, pictures, and what the runs write.
        out: path of the results without suffix.
        plot: path of the drawing, an SVG file.
        command: what the results say they were made by.
        say: called with lines of progress.
        table: the methods that there are.

    Raises:
        ValueError: a method or size is unknown, pairs is below 1, or a script is not there.
        RuntimeError: a program has failed.
    """
    report.check_names("--methods", methods, table)
    report.check_names("--parts", parts, PARTS)
    if pairs < 1:
        raise ValueError(f"--pairs must be at least 1, got {pairs}")
    scripts = {name: find_script(peers, table[name].script) for name in methods if "trainings" in parts}
    work_dir, file = Path(work_dir).resolve(), Path(out).with_suffix(".json")
    at = prepare(work_dir, size, batch, rank, seed)
    for name in methods if "trainings" in parts else ():
        say(f"{table[name].label}: {scripts[name]}")
        for found in compare_method(table[name], scripts[name], at, work_dir / name, pairs, steps, peer_path, say):
            add_results(file, "methods", name, {"size": size, "batch": batch, "rank": rank, **found}, command)
    for part, name, found in _own_parts(parts, peers, at, work_dir, pairs, say):
        add_results(file, part, name, {"size": size, **found}, command)
    results = report.read_results(file)
    text = compare_table(results)
    file.with_suffix(".md").write_text(text, encoding="utf-8")
    write_chart(results, Path(plot))
    return text


def _own_parts(parts: Sequence[str], peers: Sequence[str | Path], at: Setting, work_dir: Path, pairs: int, say: Say
               ) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """What is measured within this process: (part, name, what was found), one after the other."""
    from benchmarks import overhead, validation

    if "overhead" in parts:
        say("A step beside a bare loop's")
        yield "overhead", "lora", overhead.measure_overhead(at, work_dir / "overhead", 4 * pairs, say)
    for name in ("lora", "full_ema") if "checkpoint" in parts else ():
        say(f"Checkpoints: {METHODS[name].label}")
        yield "checkpoint", name, overhead.measure_checkpoint(name, at, work_dir / "checkpoint", pairs, say)
    if "sampling" in parts:
        say("Pictures during a training")
        script = find_script(peers, validation.SCRIPT)
        yield "sampling", "lora", validation.measure_sampling(script, at, work_dir / "sampling", pairs, say)


def add_results(file: Path, part: str, name: str, found: Mapping[str, Any], command: str) -> None:
    """Puts one result into the file, which is read anew: another call may have written meanwhile."""
    results: dict[str, Any] = report.read_results(file)
    results.setdefault(part, {})[name] = dict(found)
    results["about"] = report.about(command)
    report.write_results(file, results)


def prepare(work_dir: Path, size: str, batch: int, rank: int, seed: int) -> Setting:
    """Builds the pipeline and draws the pictures."""
    pipeline = work_dir / size
    if not (pipeline / "model_index.json").is_file():
        build = get_context("spawn").Process(target=save_pipeline, args=(pipeline, size))
        build.start()  # apart, so that this process stays small: the peak of a child begins with that of its parent
        build.join()
        if build.exitcode:
            raise RuntimeError(f"the pipeline of size {size} could not be built in {pipeline}")
    pixels = SIZES[size].pixels
    data = work_dir / f"pictures{pixels}"
    return Setting(
        pipeline=pipeline, pixels=pixels, batch=batch, rank=rank, seed=seed, count=PICTURES,
        class_count=CLASSES,
        pictures=draw_folder(data / "captioned", PICTURES, pixels, captions=True),
        instances=draw_folder(data / "instances", PICTURES, pixels),
        classes=draw_folder(data / "classes", CLASSES, pixels, seed=100))


def compare_method(method: Method, script: Path, at: Setting, work_dir: Path, pairs: int, steps: int | None,
                   peer_path: Sequence[str | Path], say: Say) -> Iterator[dict[str, Any]]:
    """First the losses of one step, then the pairs; what is found so far, for the results file, after each pair."""
    steps = steps or method.steps
    environment = {"peer": peer_environment(work_dir.parent, peer_path), "diffkit": own_environment()}
    losses = first_losses(method, script, at, work_dir, environment["peer"])
    say(f"  loss of the first step: peer {losses['peer']}, diffkit {losses['diffkit']}")
    marks = work_dir / "marks.json"
    launch = ["--marks", str(marks)]
    found: dict[str, list[Training]] = {"peer": [], "diffkit": []}
    for number in range(pairs):
        for program in ("peer", "diffkit") if number % 2 == 0 else ("diffkit", "peer"):
            place = work_dir / program
            command = (peer_command(method, script, at, place, 3 * steps, launch) if program == "peer"
                       else diffkit_command(method, at, place, 3 * steps, None, launch))
            found[program].append(
                run_training(command, work_dir / f"{program}.log", marks, 3 * steps, environment[program]))
        peer, own = found["peer"][-1], found["diffkit"][-1]
        say(f"  pair {number + 1} of {pairs}: a step {peer.step:.2f} and {own.step:.2f} s, "
            f"ratio {peer.step / own.step:.2f}; fixed {peer.fixed:.1f} and {own.fixed:.1f} s; "
            f"peak {peer.peak_mb or 0:.0f} and {own.peak_mb or 0:.0f} MB")
        yield {"script": method.script, "script_sha256": file_sha256(script)[:12], "config": method.config,
               "steps": steps, "pairs": number + 1, "losses": losses, **summary(found["peer"], found["diffkit"])}


def summary(peer: Sequence[Training], own: Sequence[Training]) -> dict[str, Any]:
    """Medians over the pairs with their least and most, and every run.

    ``ratio`` is peer / diffkit, in processor time of a step; ``fixed_ratio`` and ``peak_ratio`` are diffkit / peer.
    """
    found: dict[str, Any] = {}
    for name, key, read in (("step_seconds", "ratio", lambda line: line.step),
                            ("fixed_seconds", "fixed_ratio", lambda line: line.fixed),
                            ("peak_mb", "peak_ratio", lambda line: line.peak_mb)):
        theirs, ours = [read(line) for line in peer], [read(line) for line in own]
        if None in theirs + ours:
            continue
        found[name] = {"peer": median(theirs), "diffkit": median(ours)}
        over = zip(theirs, ours, strict=True) if key == "ratio" else zip(ours, theirs, strict=True)
        each = [above / below for above, below in over]
        found[key] = {"median": median(each), "least": min(each), "most": max(each)}
    found["runs"] = {"peer": [each.as_dict() for each in peer], "diffkit": [each.as_dict() for each in own]}
    return found
