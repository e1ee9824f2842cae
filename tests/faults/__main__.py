"""The full fault suite: ``python -m tests.faults`` from the root of the repository.

It takes about an hour of one core. Every trial is written down as soon as it is done, so that a suite that was broken
off goes on where it was. Several may run at once, for other experiments and with a ``--work-dir`` each. Then a table
is written.
"""

import argparse
import copy
import fcntl
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from diffkit.apis.measure import report
from tests.faults.experiments import EXPERIMENTS, Experiment
from tests.faults.training import small_model

COMMAND = "python -m tests.faults"  # what is left of a suite that was broken off, this does


def main(arguments: list[str] | None = None) -> int:
    """Runs what has not been run and writes the table; 0 if everything was as it should be."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=(__doc__ or "").splitlines()[0])
    parser.add_argument("experiments", nargs="*", metavar="EXPERIMENT",
                        help=f"of {', '.join(EXPERIMENTS)} (default: all)")
    parser.add_argument("--out", type=Path, default=Path("docs/results/faults"), metavar="PATH",
                        help="results, without suffix (default: %(default)s)")
    parser.add_argument("--work-dir", type=Path, default=Path("work_dirs/faults"), help="(default: %(default)s)")
    parser.add_argument("--anew", action="store_true", help="do again what has been done")
    args = parser.parse_args(arguments)
    unknown = [name for name in args.experiments if name not in EXPERIMENTS]
    if unknown:
        parser.error(f"there is no experiment {', '.join(unknown)}; there are {', '.join(EXPERIMENTS)}")
    file = args.out.with_suffix(".json")
    file.parent.mkdir(parents=True, exist_ok=True)
    pretrained = args.work_dir.absolute() / "small-sd"
    if not (pretrained / "model_index.json").is_file():
        small_model(pretrained)
    for name in args.experiments or EXPERIMENTS:
        with _results(file) as results:
            done = results["experiments"].setdefault(name, {})
            if args.anew:
                done.clear()
        for key in [key for key in EXPERIMENTS[name].trials if key not in done]:
            trial = _try(EXPERIMENTS[name], key, args.work_dir.absolute(), pretrained)
            print(f"{name} {key}: {trial['faults'] or trial.get('skipped_because') or 'as it should be'}", flush=True)
            with _results(file) as results:
                results["experiments"].setdefault(name, {})[key] = trial
    with _results(file) as results:
        text = table(results)
        file.with_suffix(".md").write_text(text, encoding="utf-8")
    print(text)
    return int(any(trial["faults"] for trials in results["experiments"].values() for trial in trials.values()))


@contextmanager
def _results(file: Path) -> Iterator[dict[str, Any]]:
    """The results on the disk, which are written back after the body; other suites wait meanwhile."""
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        results = report.read_results(file) or {"experiments": {}}
        before = copy.deepcopy(results)
        yield results
        if results != before:
            report.write_results(file, results | {"about": report.about(COMMAND)})
    finally:
        os.close(folder)


def table(results: dict[str, Any]) -> str:
    """The results as Markdown."""
    rows = []
    for name, experiment in EXPERIMENTS.items():
        trials = results["experiments"].get(name, {})
        tried = {key: trial for key, trial in trials.items() if "skipped_because" not in trial}
        good = sum(not trial["faults"] for trial in tried.values())
        if not tried:
            rows.append((experiment.title, experiment.expected, "-", _why_not(trials)))
            continue
        seen = experiment.seen(tried) if good == len(tried) else _faults(tried)
        left = sum(key not in trials for key in experiment.trials)
        so = f"{good} of {len(tried)}" + (f"; {left} not tried yet" if left else "")
        rows.append((experiment.title, experiment.expected, so, seen))
    head = ("what happens", "what has to be", "was so", "what was seen")
    return f"{report.table(head, rows)}\n{report.footer(results['about'])}"


def _why_not(trials: dict[str, Any]) -> str:
    reasons = {trial["skipped_because"] for trial in trials.values()}
    return "; ".join(sorted(reasons)) or "not tried yet"


def _faults(trials: dict[str, Any]) -> str:
    faults = [f"{key}: {trial['faults'][0].splitlines()[0]}" for key, trial in trials.items() if trial["faults"]]
    return "NOT SO: " + "; ".join(faults[:5])


def _try(experiment: Experiment, key: str, work: Path, pretrained: Path) -> dict[str, Any]:
    """One trial; a fault of the suite itself is a fault too."""
    try:
        return experiment.run(key, work, pretrained)
    except Exception as error:
        traceback.print_exc()
        return {"faults": [f"{type(error).__name__}: {error}"]}


if __name__ == "__main__":
    sys.exit(main())
