"""Stopping on request: the first signal ends the training after the running step, the second one at once."""

import mmap
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

import torch
from mmengine.dist import all_reduce, get_comm_device, get_world_size
from torch.utils.data import DataLoader

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_NOTICE = b"\nThe training ends after the running iteration and a checkpoint; a second signal ends it at once.\n"


class Interrupt:
    """Remembers the first SIGINT or SIGTERM.

    Attributes:
        signal: the number on which all processes agreed to stop, or None.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._received = 0
        self._process = os.getpid()
        self._training = mmap.mmap(-1, 1)  # one byte that forked workers see too: whether the main process trains

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Catches the signals inside the body; outside of the main thread it does nothing."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before: dict[int, Any] = {number: signal.signal(number, self._on_signal) for number in _SIGNALS}
        self._training[0] = 1
        try:
            yield
        finally:
            self._training[0] = 0
            for number, handler in before.items():
                signal.signal(number, handler)

    def guard_workers(self, loader: DataLoader) -> None:
        """Lets workers that a loader forks from now on leave signals to the main process as long as that trains.

        Slurm, ``timeout`` and service managers send a signal to every process of a training. Without its workers the
        main process could not finish its step.
        """
        if (loader.multiprocessing_context or multiprocessing.get_context()).get_start_method() == "fork":
            loader.worker_init_fn = self._guarded(loader.worker_init_fn)

    def agree(self) -> None:
        """Makes all processes stop at the same step, even if a signal reached only one."""
        received = self._received
        if get_world_size() > 1:
            flag = torch.tensor(received, dtype=torch.int32, device=get_comm_device())
            all_reduce(flag, "max")
            received = int(flag)
        if received:
            self.signal = received

    def _guarded(self, init: Callable[[int], None] | None) -> Callable[[int], None]:
        def start(worker: int) -> None:
            if init is not None:
                init(worker)
            for number in _SIGNALS:
                signal.signal(number, self._in_worker)  # torch has put its own there, which ends the worker

        return start

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:  # a process that was forked and has inherited this handler
            self._in_worker(number, frame)
            return
        self._received = number
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_DFL)
        with suppress(OSError):
            os.write(2, _NOTICE)  # a logger may be what this has interrupted

    def _in_worker(self, number: int, frame: FrameType | None) -> None:
        """A worker that is told to end does so when its main process no longer needs it; one without it ends itself."""
        if number == signal.SIGTERM and not self._training[0]:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
