"""A console that people can read, and logged values that survive a resume."""

import logging

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


def console_handlers(logger: logging.Logger) -> list[logging.Handler]:
    """Returns the handlers that write to the terminal."""
    return [
        handler
        for handler in logger.handlers
        if isinstance(handler, logging.StreamHandler) and not isinstance(handler, logging.FileHandler)
    ]


def quieten(logger: logging.Logger) -> None:
    """Keeps the dumps of MMEngine off the console; the log file still gets them."""
    logger.addFilter(_DropFilter())
    for handler in console_handlers(logger):
        handler.addFilter(_ConsoleFilter())
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", datefmt="%H:%M:%S"))


def log_to_file(logger: logging.Logger, message: str) -> None:
    """Logs a message that only the log file gets."""
    logger.info(message, extra={"file_only": True})


def limit_history(hub: MessageHub) -> None:
    """Lets every scalar keep ``HISTORY`` values; MMEngine's million cost time and memory at each step."""
    for buffer in hub.log_scalars.values():
        buffer.max_length = HISTORY


def log_history(hub: MessageHub) -> dict[str, torch.Tensor]:
    """Returns the kept values of the training's scalars, float64 [2, n]: values and their counts."""
    return {
        name: torch.tensor(np.stack(buffer.data)[:, -HISTORY:], dtype=torch.float64)
        for name, buffer in hub.log_scalars.items()
        if name.startswith("train/")
    }


def load_log_history(hub: MessageHub, history: dict[str, torch.Tensor]) -> None:
    """Puts them back, so that the next log line is the mean that it would have been."""
    for name, table in history.items():
        values, counts = table.numpy()
        hub.log_scalars[name] = HistoryBuffer(list(values), [int(count) for count in counts], HISTORY)
