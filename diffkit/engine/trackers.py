"""Trackers (local files, TensorBoard, wandb …) that fail do not take the training with them."""

import functools
import logging
from collections.abc import Callable
from typing import Any

_METHODS = ("add_config", "add_graph", "add_image", "add_scalar", "add_scalars", "close")
_GIVE_UP = 5  # failures of one tracker after which it is not asked again


class _Guard:
    """Counts the failures of one tracker."""

    def __init__(self, name: str, logger: logging.Logger) -> None:
        self.name = name
        self.logger = logger
        self.failures = 0

    def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """Calls a method of the tracker unless it has failed too often; reports the first failure."""
        if self.failures >= _GIVE_UP:
            return
        try:
            function(*args, **kwargs)
        except Exception as error:
            self.failures += 1
            if self.failures == 1:
                self.logger.warning(
                    f"Tracker {self.name} failed, the training goes on (further failures are not reported): "
                    f"{type(error).__name__}: {error}"
                )


def guard_trackers(visualizer: Any, logger: logging.Logger) -> None:
    """Makes each backend of an MMEngine visualizer report its first failure and raise none."""
    for name, backend in visualizer._vis_backends.items():
        guard = _Guard(name, logger)
        for method in _METHODS:
            if hasattr(backend, method):
                setattr(backend, method, functools.partial(guard.call, getattr(backend, method)))
