"""One program in a process of its own: what it took of the processor and of memory."""

import json
import os
import resource
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from diffkit.apis.measure.training import resident_bytes

#: One thread, and no network.
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false",
               "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}


@dataclass(frozen=True)
class Spent:
    """What a process took.

    Attributes:
        cpu_seconds: of the processor, in user and system mode, its children included.
        seconds: by the clock.
        peak_mb: the most memory that was resident at once, in MB (10^6 bytes); None where it cannot be told, because
            this process had more: a child begins with the peak of its parent.
    """

    cpu_seconds: float
    seconds: float
    peak_mb: float | None

    def as_dict(self) -> dict[str, float | None]:
        """For a results file."""
        return asdict(self)


def run(command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> Spent:
    """Runs a command to its end.

    Args:
        command: program and arguments.
        log: a file for what it says.
        environment: beside :data:`ENVIRONMENT` and that of this process.

    Raises:
        RuntimeError: it has failed; the last lines that it said are in the message.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    with log.open("wb") as stream:
        child = subprocess.Popen(list(command), stdout=stream, stderr=subprocess.STDOUT,
                                 env={**os.environ, **ENVIRONMENT, **(environment or {})})
        _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        last = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:])
        raise RuntimeError(f"{' '.join(map(str, command))}\nended with status {child.returncode}; see {log}:\n{last}")
    passed = time.perf_counter() - began
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    peak = resident_bytes(used.ru_maxrss) / 1e6 if used.ru_maxrss > own else None
    return Spent(used.ru_utime + used.ru_stime, passed, peak)


@dataclass(frozen=True)
class Training:
    """A training of 3 N steps, and its cost as a straight line over them.

    Attributes:
        spent: what the whole process took.
        marks: processor seconds of the process after each step of the optimizer, from its start on.
    """

    spent: Spent
    marks: Sequence[float]

    @property
    def step(self) -> float:
        """Processor seconds of one step more: the slope between N and 3 N steps."""
        third = len(self.marks) // 3
        return (self.marks[-1] - self.marks[third - 1]) / (len(self.marks) - third)

    @property
    def fixed(self) -> float:
        """Processor seconds without any step: loading, the first use of things, and writing the end."""
        return self.spent.cpu_seconds - len(self.marks) * self.step

    @property
    def peak_mb(self) -> float | None:
        """See :class:`Spent`."""
        return self.spent.peak_mb

    def as_dict(self) -> dict[str, Any]:
        """For a results file."""
        return {**self.spent.as_dict(), "marks": list(self.marks)}


def run_training(command: Sequence[str], log: Path, marks: Path, steps: int,
                 environment: Mapping[str, str] | None = None) -> Training:
    """Runs a training that :mod:`benchmarks.launch` was told to mark.

    Args:
        command: see :func:`run`.
        log: see :func:`run`.
        marks: the file that the launcher writes.
        steps: of the training, a multiple of 3.
        environment: see :func:`run`.

    Raises:
        RuntimeError: it has failed, or its optimizer has not taken as many steps.
    """
    marks.unlink(missing_ok=True)
    spent = run(command, log, environment)
    found = json.loads(marks.read_text(encoding="utf-8")) if marks.is_file() else []
    if len(found) != steps:
        raise RuntimeError(f"{' '.join(map(str, command))}\nhas taken {len(found)} steps of its optimizer, not {steps}")
    return Training(spent, found)
