"""How far the training is: a bar on a terminal, a line at an interval anywhere else."""

import datetime
import functools
import logging
import resource
import sys
import time
from typing import Any

import torch
from mmengine.hooks import Hook
from tqdm import tqdm

from diffkit.engine.logs import console_handlers
from diffkit.registry import HOOKS


@HOOKS.register_module()
class ProgressHook(Hook):
    """Shows iteration, loss, learning rate, speed, memory and the time left.

    Args:
        interval: iterations from one line to the next where the output is not a terminal, at least 1; None
            takes about 20 lines for the whole training.
        bar: whether to draw a bar; None does so on a terminal.
    """

    priority = "BELOW_NORMAL"
    alters_training = False

    def __init__(self, interval: int | None = None, bar: bool | None = None) -> None:
        if interval is not None and (not isinstance(interval, int) or interval < 1):
            raise ValueError(f"interval must be an integer of at least 1, given {interval!r}")
        self.interval = interval
        self.bar = bar
        self._bar: tqdm | None = None
        self._begin = (0, 0.0)
        self._emitters: list[tuple[Any, Any]] = []

    def before_train(self, runner: Any) -> None:
        """Starts the clock, and the bar."""
        self._begin = (runner.iter, time.monotonic())
        if runner.rank == 0 and (sys.stderr.isatty() if self.bar is None else self.bar):
            self._bar = tqdm(total=runner.max_iters, initial=runner.iter, unit="it", dynamic_ncols=True)
            for handler in console_handlers(runner.logger):
                self._emitters.append((handler, handler.emit))
                setattr(handler, "emit", functools.partial(_write_above_bar, handler))  # noqa: B010

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Moves the bar, or prints a line if one is due."""
        if runner.rank != 0:
            return
        done = runner.iter + 1
        if self._bar is not None:
            if self._bar.update(1) or done == runner.max_iters:
                self._bar.set_postfix_str(self._facts(runner))
        elif done % (self.interval or max(1, runner.max_iters // 20)) == 0 or done == runner.max_iters:
            runner.logger.info(
                f"{done}/{runner.max_iters} ({100 * done // runner.max_iters}%) "
                f"{self._facts(runner)}, {self._pace(runner)}"
            )

    def after_train(self, runner: Any) -> None:
        """Closes the bar and gives the console back."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
        for handler, emit in self._emitters:
            handler.emit = emit
        self._emitters.clear()

    def _facts(self, runner: Any) -> str:
        scalars = runner.message_hub.log_scalars
        loss = scalars["train/loss"].mean(10) if "train/loss" in scalars else float("nan")
        rate = runner.optim_wrapper.optimizer.param_groups[0]["lr"]
        return f"loss {loss:.4f}, lr {rate:.2e}, memory {memory_in_use() / 1e9:.1f} GB"

    def _pace(self, runner: Any) -> str:
        first, begin = self._begin
        per_iteration = (time.monotonic() - begin) / max(1, runner.iter + 1 - first)
        left = datetime.timedelta(seconds=round(per_iteration * (runner.max_iters - runner.iter - 1)))
        return f"{1 / max(per_iteration, 1e-9):.2f} it/s, {left} left"


def _write_above_bar(handler: Any, record: logging.LogRecord) -> None:
    tqdm.write(handler.format(record), file=handler.stream)


def memory_in_use() -> int:
    """Returns the largest use of memory so far in bytes: of the GPU, or of this process without one."""
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
