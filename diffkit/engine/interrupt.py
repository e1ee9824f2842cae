"""Stopping on request: the first signal ends the training after the running step, the second one at once."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

import torch
from mmengine.dist import all_reduce, get_comm_device, get_world_size

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

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Catches the signals inside the body; outside of the main thread it does nothing."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before: dict[int, Any] = {number: signal.signal(number, self._on_signal) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def agree(self) -> None:
        """Makes all processes stop at the same step, even if a signal reached only one."""
        received = self._received
        if get_world_size() > 1:
            flag = torch.tensor(received, dtype=torch.int32, device=get_comm_device())
            all_reduce(flag, "max")
            received = int(flag)
        if received:
            self.signal = received

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:  # a worker of the data loader, which has inherited this handler
            self._in_worker(number)
            return
        self._received = number
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_DFL)
        with suppress(OSError):
            os.write(2, _NOTICE)  # a logger may be what this has interrupted

    @staticmethod
    def _in_worker(number: int) -> None:
        """Ctrl-C is the main process's business, which still needs its data; an order to end is obeyed."""
        if number == signal.SIGTERM:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
