"""A console that people can read, and logged values that survive a resume."""

import logging
import math
import sys
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer, MessageHub

HISTORY = 1000  # values kept of each logged scalar; a log line is a mean over a window of them

_FILE_ONLY = ("Hooks will be executed", "Distributed training is not used", "Exp name", "Iter(train)")
_DROPPED = ("has no metainfo",)


class _ConsoleFilter(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        message = str(record.msg)
        return not getattr(record, "file_only", False) and not message.startswith(_FILE_ONLY)


class _DropFilter(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return not any(part in str(record.msg) for part in _DROPPED)


class _FirstError:
    """What a log handler calls when it fails: one line on the terminal, once."""

    def __init__(self, handler: logging.Handler) -> None:
        self.name = getattr(handler, "baseFilename", "the console")
        self.told = False

    def __call__(self, record: logging.LogRecord) -> None:
        if not self.told:
            self.told = True
            try:
                error = sys.exception()
                print(f"The log {self.name} cannot be written, the training goes on (further failures are not "
                      f"reported): {type(error).__name__}: {error}", file=sys.stderr)
            except OSError:  # nor can the terminal
                pass


def console_handlers(logger: logging.Logger) -> list[logging.Handler]:
    """Returns the handlers that write to the terminal."""
    return [
        handler
        for handler in logger.handlers
        if isinstance(handler, logging.StreamHandler) and not isinstance(handler, logging.FileHandler)
    ]


def quieten(logger: logging.Logger) -> None:
    """Keeps the dumps of MMEngine off the console; the log file still gets them.

    A handler that cannot write (a full disk, a closed terminal) says so once, and the training goes on.
    """
    logger.addFilter(_DropFilter())
    for handler in logger.handlers:
        setattr(handler, "handleError", _FirstError(handler))  # noqa: B010
    for handler in console_handlers(logger):
        handler.addFilter(_ConsoleFilter())
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", datefmt="%H:%M:%S"))


def log_to_file(logger: logging.Logger, message: str) -> None:
    """Logs a message that only the log file gets."""
    logger.info(message, extra={"file_only": True})


def numbers(terms: Any) -> Any:
    """The terms of a loss as numbers, which are logged: all are read with one wait for the device, not one for each."""
    scalars = {name: value.detach().double() for name, value in terms.items()
               if isinstance(value, torch.Tensor) and value.numel() == 1} if isinstance(terms, dict) else {}
    if not scalars:
        return terms
    values = torch.stack([value.reshape(()) for value in scalars.values()]).tolist()
    return {**terms, **dict(zip(scalars, values, strict=True))}


def limit_history(hub: MessageHub) -> None:
    """Lets every scalar keep ``HISTORY`` values; MMEngine's million cost time and memory at each step.

    A newest value that is not finite (the loss of a skipped step) has been logged by now and is dropped: it would make
    every mean over it say nothing, and a checkpoint holds no such value.
    """
    for name, buffer in list(hub.log_scalars.items()):
        buffer.max_length = HISTORY
        values, counts = buffer.data
        if len(values) and not math.isfinite(values[-1]):
            if len(values) == 1:
                del hub.log_scalars[name]
            else:
                hub.log_scalars[name] = HistoryBuffer(values[:-1], counts[:-1], HISTORY)


def log_history(hub: MessageHub) -> dict[str, torch.Tensor]:
    """Returns the kept values of the training's scalars, float64 [2, n]: values and their counts; finite ones only."""
    tables = {
        name: torch.tensor(np.stack(buffer.data)[:, -HISTORY:], dtype=torch.float64)
        for name, buffer in hub.log_scalars.items()
        if name.startswith("train/")
    }
    finite = {name: table[:, table[0].isfinite()] for name, table in tables.items()}
    return {name: table for name, table in finite.items() if table.numel()}


def load_log_history(hub: MessageHub, history: dict[str, torch.Tensor]) -> None:
    """Puts them back, so that the next log line is the mean that it would have been."""
    for name, table in history.items():
        values, counts = table.numpy()
        hub.log_scalars[name] = HistoryBuffer(list(values), [int(count) for count in counts], HISTORY)
