"""Trackers (local files, TensorBoard, wandb …) that fail do not take the training with them."""

import functools
import logging
from collections.abc import Callable
from typing import Any

from mmengine.config import Config

from diffkit.utils.secrets import without_secrets

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
    """Makes each backend of an MMEngine visualizer report its first failure and raise none, and see no secrets."""
    for name, backend in visualizer._vis_backends.items():
        guard = _Guard(name, logger)
        for method in _METHODS:
            if hasattr(backend, method):
                function = getattr(backend, method)
                if method == "add_config":
                    function = functools.partial(_add_config, function)
                setattr(backend, method, functools.partial(guard.call, function))


def _add_config(function: Callable[..., Any], config: Config, *args: Any, **kwargs: Any) -> None:
    """Gives a tracker the config without tokens and passwords: it may lie on somebody else's machine."""
    values = config.to_dict()
    clean = without_secrets(values)
    function(config if clean is values else Config(clean), *args, **kwargs)
