"""A console that people can read: MMEngine's long dumps go to the log file only."""

import logging

_FILE_ONLY = ("Hooks will be executed", "Distributed training is not used", "Exp name", "Iter(train)", "Iter(val)",
              "Iter(test)")
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
    return [handler for handler in logger.handlers
            if isinstance(handler, logging.StreamHandler) and not isinstance(handler, logging.FileHandler)]


def quieten(logger: logging.Logger) -> None:
    """Keeps the dumps of MMEngine off the console; the log file still gets them."""
    logger.addFilter(_DropFilter())
    for handler in console_handlers(logger):
        handler.addFilter(_ConsoleFilter())
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", datefmt="%H:%M:%S"))


def log_to_file(logger: logging.Logger, message: str) -> None:
    """Logs a message that only the log file gets."""
    logger.info(message, extra={"file_only": True})
