"""One program in a process of its own: what it took of the processor and of memory."""

import os
import resource
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

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
class Slope:
    """A program's cost as a straight line over its steps: a run of ``steps`` and one of three times as many.

    Attributes:
        steps: of the shorter run.
        short: what it took.
        long: what the other took.
    """

    steps: int
    short: Spent
    long: Spent

    @property
    def step(self) -> float:
        """Processor seconds of one step more."""
        return (self.long.cpu_seconds - self.short.cpu_seconds) / (2 * self.steps)

    @property
    def fixed(self) -> float:
        """Processor seconds without any step: loading, and writing the end."""
        return self.short.cpu_seconds - self.steps * self.step

    @property
    def peak_mb(self) -> float | None:
        """The larger peak of the two runs."""
        peaks = (self.short.peak_mb, self.long.peak_mb)
        return None if None in peaks else max(peaks)  # type: ignore[type-var]
