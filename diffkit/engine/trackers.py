"""Trackers (local files, TensorBoard, wandb …) that fail do not take the training with them."""

import functools
import logging
from collections.abc import Callable
from typing import Any

from mmengine.config import Config
from mmengine.visualization import WandbVisBackend

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
        own = _of_wandb(backend) if isinstance(backend, WandbVisBackend) else {}
        for method in _METHODS:
            if hasattr(backend, method):
                function = own.get(method, getattr(backend, method))
                if method == "add_config":
                    function = functools.partial(_add_config, function)
                setattr(backend, method, functools.partial(guard.call, function))


def _of_wandb(backend: WandbVisBackend) -> dict[str, Callable[..., Any]]:
    """What differs from MMEngine's methods for Weights & Biases.

    Curves are drawn over ``iter``, which comes with each value: MMEngine leaves the step out, so that validations and
    resumed trainings would lie at other places than in other trackers. And MMEngine sends all Python files below the
    current folder with the config; here that is done only where ``log_code_name`` is given.
    """

    def log(values: dict[str, Any], step: int) -> None:
        backend.experiment.log({"iter": step, **values}, commit=backend._commit)

    def add_config(config: Config, **_: Any) -> None:
        allowed = (backend._init_kwargs or {}).get("allow_val_change", False)
        backend.experiment.config.update(config.to_dict(), allow_val_change=allowed)

    own: dict[str, Callable[..., Any]] = {
        "add_scalar": lambda name, value, step=0, **_: log({name: value}, step),
        "add_scalars": lambda scalar_dict, step=0, file_path=None, **_: log(scalar_dict, step),
        "add_image": lambda name, image, step=0, **_: log({name: backend.experiment.Image(image)}, step)}
    return own if backend._log_code_name else {**own, "add_config": add_config}


def _add_config(function: Callable[..., Any], config: Config, *args: Any, **kwargs: Any) -> None:
    """Gives a tracker the config without tokens and passwords: it may lie on somebody else's machine."""
    values = config.to_dict()
    clean = without_secrets(values)
    function(config if clean is values else Config(clean), *args, **kwargs)
