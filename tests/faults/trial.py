"""Starting the trainings of the suite, disturbing them, and comparing what they leave."""

import hashlib
import json
import os
import select
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file

from diffkit.engine.checkpoint import list_steps
from diffkit.engine.manifest import MANIFEST, verify_checkpoint
from tests.engine.processes import PATIENCE, context
from tests.faults.training import LAST, Job, train


class Event(NamedTuple):
    """A line that a process has sent, and when it came (seconds, monotonic)."""

    kind: str
    number: int
    time: float


class Trial:
    """A training in a process of its own, and what it has told so far."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.events: list[Event] = []
        self._rest = ""
        self._reader, writer = context().Pipe(duplex=False)
        self.process = context().Process(target=train, args=(job, writer))
        self.process.start()
        writer.close()

    def read(self, seconds: float = 0.0) -> bool:
        """Takes over what has been told, waiting at most ``seconds``; False at the end of the process."""
        handle = self._reader.fileno()
        if not select.select([handle], [], [], seconds)[0]:
            return True
        data = os.read(handle, 65536).decode()
        *lines, self._rest = (self._rest + data).split("\n")
        now = time.monotonic()
        self.events += [Event(kind, int(number), now) for kind, number in map(str.split, lines)]
        return bool(data)

    def count(self, kind: str) -> int:
        """How many events of this kind there were."""
        return sum(event.kind == kind for event in self.events)

    def wait_for(self, kind: str, count: int = 1) -> bool:
        """Waits for the event; False if the process ended without it."""
        end = time.monotonic() + PATIENCE
        while self.count(kind) < count:
            if not self.read(0.5):
                return self.count(kind) >= count
            if time.monotonic() > end:
                raise AssertionError(f"no {kind!r} in {PATIENCE} s:\n{self.text}")
        return True

    def signal(self, number: int, group: bool = False) -> None:
        """Sends a signal, to its workers too if ``group``, unless the process has ended."""
        if self.process.is_alive() and self.process.pid is not None:
            (os.killpg if group else os.kill)(self.process.pid, number)

    def kill(self) -> None:
        """Kills it as the system does when memory runs out; nothing of it runs after this."""
        self.process.kill()
        self.finish()

    def finish(self, seconds: float = PATIENCE) -> int | None:
        """Waits for the end and reads the last events; returns the exit status, None if it still runs."""
        end = time.monotonic() + seconds
        while self.read(0.2) and time.monotonic() < end:
            pass
        self.process.join(max(0.0, end - time.monotonic()))
        return self.process.exitcode

    @property
    def text(self) -> str:
        """All that the process has printed."""
        return self.job.log.read_text(errors="replace") if self.job.log.exists() else ""


@contextmanager
def started(*jobs: Job) -> Iterator[list[Trial]]:
    """Starts trainings, and ends those that still run after the body."""
    trials = [Trial(job) for job in jobs]
    try:
        yield trials
    finally:
        for trial in trials:
            if trial.process.is_alive():
                trial.process.kill()
            trial.process.join()


def complete(job: Job, seconds: float = PATIENCE) -> Trial:
    """Trains to the end within ``seconds``; anything else is an error that shows what was printed."""
    with started(job) as (trial,):
        status = trial.finish(seconds)
        if status != 0:
            ended = f"exit status {status}" if status is not None else f"not done after {seconds:.0f} s"
            raise AssertionError(f"{ended}:\n{trial.text}")
    return trial


def undisturbed(work: Path, pretrained: Path, changes: dict[str, Any]) -> Path:
    """The work folder of a training that nothing disturbs; trained once, and found again after that."""
    digest = hashlib.sha256(repr(sorted(changes.items())).encode()).hexdigest()[:8]
    job = Job(work / f"undisturbed_{digest}", pretrained, changes)
    if not (job.work_dir / LAST).is_dir() or invalid(job.work_dir):
        forget(job)
        complete(job)
    return job.work_dir


def resumed(job: Job) -> Trial:
    """Goes on with a training, without what disturbed it, to the end."""
    return complete(replace(job, changes=job.changes | {"resume": True}, prepare=None))


def forget(job: Job) -> None:
    """Removes all that a training has left."""
    shutil.rmtree(job.work_dir, ignore_errors=True)
    for path in job.work_dir.parent.glob(f"{job.work_dir.name}.log*"):
        path.unlink()


def invalid(work_dir: Path) -> list[str]:
    """Faults of anything that has the name of a checkpoint."""
    return [f"{folder.name}: {fault}" for _, folder in list_steps(work_dir) for fault in verify_checkpoint(folder)]


def not_finite(work_dir: Path) -> list[str]:
    """Tensors with a value that is not finite, in any file of any checkpoint."""
    return [
        f"{path.relative_to(work_dir)}: {name}"
        for path in sorted(work_dir.glob("step*/**/*.safetensors"))
        for name, value in load_file(path).items()
        if value.is_floating_point() and not value.isfinite().all()
    ]


def differences(left: Path, right: Path, logs: bool = True, step: str = LAST) -> list[str]:
    """How two trainings differ in their last checkpoint, bit by bit, and in what they have logged; times aside."""
    a, b = left / step, right / step
    skipped = {MANIFEST, "state/config.py"}
    files = [{path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()} for root in (a, b)]
    found = [f"only in one: {name}" for name in sorted(files[0] ^ files[1])]
    for name in sorted((files[0] & files[1]) - skipped):
        if name.endswith(".safetensors"):
            found += [f"{name}: {key}" for key in _other_tensors(a / name, b / name)]
        elif _nameless(a / name, left) != _nameless(b / name, right):
            found.append(name)
    rows = [logged(left), logged(right)] if logs else [{}, {}]
    return found + [f"log of step {key}" for key in sorted(rows[0].keys() | rows[1].keys())
                    if rows[0].get(key) != rows[1].get(key)]


def _nameless(path: Path, work_dir: Path) -> bytes:
    """The content of a file; a model card without the name of the training."""
    content = path.read_bytes()
    return content.replace(work_dir.name.encode(), b"") if path.name == "README.md" else content


def _other_tensors(left: Path, right: Path) -> list[str]:
    a, b = load_file(left), load_file(right)
    return [
        key
        for key in sorted(a.keys() | b.keys())
        if not key.endswith("time") and not (key in a and key in b and _same(a[key], b[key]))
    ]


def _same(a: torch.Tensor, b: torch.Tensor) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and bytes(a.view(-1).view(torch.uint8)) == bytes(
        b.view(-1).view(torch.uint8))


def logged(work_dir: Path) -> dict[int, dict[str, Any]]:
    """Logged values by step, but for times; a step that was done twice says if they differ."""
    rows: dict[int, dict[str, Any]] = {}
    for path in sorted(work_dir.glob("*/vis_data/scalars.json")):
        for line in path.read_text().splitlines():
            try:
                row = json.loads(line, parse_constant=str)
            except ValueError:  # a full disk cuts a line
                continue
            kept = {key: value for key, value in row.items() if key not in ("time", "data_time", "memory")}
            before = rows.get(row["step"], kept)
            rows[row["step"]] = kept | {"changed": True} if before != kept else kept
    return rows
