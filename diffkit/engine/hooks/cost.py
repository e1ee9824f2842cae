"""What a training costs: seconds by the clock, and of the processors."""

import json
import multiprocessing
import os
import time
from pathlib import Path
from typing import Any

from mmengine.hooks import Hook

from diffkit.engine.files import replace_text
from diffkit.registry import HOOKS

COST_FILES = "cost*.json"


@HOOKS.register_module()
class CostHook(Hook):
    """Writes what the training has cost so far beside its log, for reports.

    ``work_dir/<moment>/cost.json``, of further processes ``cost_rank1.json`` …, holds ``iterations`` done since the
    start, ``seconds`` by the clock, and ``cpu_seconds`` of the process and of those that read its data. It begins when
    the model is built: calibration, samples and validations are counted, loading is not. A resumed training has a
    folder of its own, so that the whole cost is the sum.

    Args:
        interval: seconds from one writing to the next at least, 0 or more; the end of the training writes too.
    """

    priority = "VERY_HIGH"  # what the other hooks do counts
    alters_training = False

    def __init__(self, interval: float = 30.0) -> None:
        if not isinstance(interval, int | float) or interval < 0:
            raise ValueError(f"interval must be a number of at least 0, given {interval!r}")
        self.interval = interval
        self._clock = self._cpu = self._written = 0.0
        self._first: int | None = None

    def before_run(self, runner: Any) -> None:
        """Starts to count."""
        self._clock = self._written = time.monotonic()
        self._cpu, self._first = cpu_seconds(), None

    def before_train(self, runner: Any) -> None:
        """Remembers the iteration that comes first."""
        self._first = runner.iter

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Writes what it has cost so far, if that is due."""
        if time.monotonic() - self._written >= self.interval:
            self._write(runner, runner.iter + 1)

    def after_run(self, runner: Any) -> None:
        """Writes what it has cost; a test is no training."""
        if self._first is not None:
            self._write(runner, runner.iter)

    def _write(self, runner: Any, done: int) -> None:
        """A cost that cannot be written is no fault of the training."""
        self._written = time.monotonic()
        cost = {"iterations": done - (self._first or 0), "seconds": round(self._written - self._clock, 3),
                "cpu_seconds": round(cpu_seconds() - self._cpu, 3)}
        name = "cost.json" if runner.rank == 0 else f"cost_rank{runner.rank}.json"
        try:
            replace_text(Path(runner.work_dir) / runner.timestamp / name, json.dumps(cost) + "\n")
        except OSError as error:
            runner.logger.debug(f"{name} cannot be written: {error}")


def cpu_seconds() -> float:
    """Seconds that the processors have worked for this process, and for those that it has started and has or had.

    Those that still run are counted where the system says it (``/proc``, which Linux has).
    """
    spent = os.times()
    running = sum(_cpu_of(child.pid) for child in multiprocessing.active_children())
    return spent.user + spent.system + spent.children_user + spent.children_system + running


def _cpu_of(process: int | None) -> float:
    try:
        fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, IndexError, ValueError):
        return 0.0
