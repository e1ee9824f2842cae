"""Trainings that are killed, or told to stop, at random moments; then they go on."""

import random
import signal
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffkit.engine.checkpoint import find_latest
from tests.faults.training import BESIDE, ITERATIONS, VARIANTS, Job
from tests.faults.trial import Trial, complete, differences, forget, invalid, resumed, started

_TRIES = 5  # a training may have ended when its moment comes; then another moment is drawn


@dataclass
class Reference:
    """A training that nobody disturbs, and its times in seconds.

    Attributes:
        work_dir: what it left.
        seconds: from the first step to the end.
        saves: how long each checkpoint held it up.
    """

    work_dir: Path
    seconds: float
    saves: list[float]


def reference(work: Path, pretrained: Path, variant: str) -> Reference:
    """Trains a variant without a fault."""
    job = Job(work / "reference" / slug(variant), pretrained, (VARIANTS | BESIDE)[variant])
    forget(job)
    events = complete(job).events
    times = {(event.kind, event.number): event.time for event in events}
    saves = [times["saved", number] - time for (kind, number), time in times.items() if kind == "save"]
    begin = next(event.time for event in events if event.kind == "train")
    return Reference(job.work_dir, events[-1].time - begin, saves)


def slug(text: str) -> str:
    """A name for a folder."""
    return "".join(letter if letter.isalnum() else "_" for letter in text)


def kill_trial(number: int, inside: bool, known: Reference, variant: str, work: Path,
               pretrained: Path) -> dict[str, Any]:
    """Kills one training with SIGKILL, lets it go on, and compares.

    Args:
        number: of the trial; its moment follows from it.
        inside: aim at a checkpoint's writing, not anywhere in the training.
        known: the same training, undisturbed.
        variant: of ``VARIANTS`` or ``BESIDE``.
        work: for its files.
        pretrained: the model.

    Returns:
        ``inside``: whether the process was inside a save when it died, by what it had told; ``half``: whether a half
        written checkpoint lay there; ``faults``: everything that is not as it should be, empty at best.
    """
    job = Job(work / f"kill{number}", pretrained, (VARIANTS | BESIDE)[variant])
    for attempt in range(_TRIES):
        forget(job)
        chance = random.Random(f"kill {number} {attempt}")
        with started(job) as (trial,):
            _wait_for_moment(trial, chance, inside, known)
            trial.kill()
        if trial.process.exitcode == -signal.SIGKILL and trial.events[-1].kind != "end":
            break
    else:
        raise AssertionError(f"the training ended {_TRIES} times before its moment came:\n{trial.text}")
    last = [event.kind for event in trial.events if event.kind in ("save", "saved")][-1:]
    faults = [f"not valid after the kill: {line}" for line in invalid(job.work_dir)]
    found = find_latest(job.work_dir).folder
    begun = int(variant in BESIDE)  # the last one that was begun may still have been written
    if trial.count("saved") > begun and found is None:
        faults.append("no valid checkpoint after the first")
    half = any(job.work_dir.glob(".writing-*"))
    faults += differences(known.work_dir, resumed(job).job.work_dir)
    if not faults:
        forget(job)
    return {"variant": variant, "inside": last == ["save"], "half": half, "faults": faults,
            "from": "the start" if found is None else found.name}


def stop_trial(number: int, kind: int, twice: bool, known: Reference, variant: str, work: Path,
               pretrained: Path, group: bool = False) -> dict[str, Any]:
    """Sends SIGTERM or SIGINT to one training at a random moment, lets it go on, and compares.

    Args:
        number: of the trial; its moment follows from it.
        kind: the signal.
        twice: whether a second one follows, at a random moment soon after.
        known: the same training, undisturbed.
        variant: of ``VARIANTS`` or ``BESIDE``.
        work: for its files.
        pretrained: the model.
        group: the signal goes to the workers of the data too, as Slurm or ``timeout`` sends it.

    Returns:
        ``steps``: begun after the signal; ``status``: of the end; ``faults``: empty at best.
    """
    job = Job(work / f"stop{'_all' * group}{number}", pretrained, (VARIANTS | BESIDE)[variant])
    for attempt in range(_TRIES):
        forget(job)
        chance = random.Random(f"stop {number} {attempt}")
        with started(job) as (trial,):
            _wait_for_moment(trial, chance, False, known)
            trial.signal(kind, group)
            if twice:
                time.sleep(chance.random() * 2 * statistics.median(known.saves))
                trial.signal(kind, group)
            status = trial.finish()
        kinds = [event.kind for event in trial.events]
        steps = kinds[kinds.index("signal"):].count("step") if "signal" in kinds else 0
        done = max((event.number for event in trial.events if event.kind == "step"), default=-1)
        complete_before = status == 0 and done == ITERATIONS - 1 and steps == 0  # in the last save, or not at all
        if not complete_before:
            break
    else:
        raise AssertionError(f"the training ended {_TRIES} times before its moment came:\n{trial.text}")
    faults = [f"not valid after the signal: {line}" for line in invalid(job.work_dir)]
    allowed = (128 + kind, -kind) if twice else (128 + kind,)
    if status not in allowed:
        faults.append(f"exit status {status} instead of {allowed[0]}")
    if status == 128 + kind and not (job.work_dir / f"step{done}").is_dir():
        faults.append(f"iteration {done} was not saved")
    if steps > 1:
        faults.append(f"{steps} steps were begun after the signal")
    faults += differences(known.work_dir, resumed(job).job.work_dir)
    if not faults:
        forget(job)
    return {"variant": variant, "signal": kind, "twice": twice, "steps": steps, "status": status, "faults": faults}


def _wait_for_moment(trial: Trial, chance: random.Random, inside: bool, known: Reference) -> None:
    if inside:
        which = chance.randrange(len(known.saves))
        trial.wait_for("save", which + 1)
        time.sleep(chance.random() * statistics.median(known.saves))
    else:
        trial.wait_for("train")
        time.sleep(chance.random() * known.seconds)
