"""Figures on what is trained, in the log."""

from typing import Any

from mmengine.hooks import Hook

from diffkit.registry import HOOKS


@HOOKS.register_module()
class StatisticsHook(Hook):
    """Logs what the tuners say of their work, such as norms and angles of learned vectors.

    The figures go where the loss goes: to the log, and to the trackers.

    Args:
        interval: iterations from one value to the next, at least 1; the last iteration has one too.
    """

    priority = "NORMAL"
    alters_training = False

    def __init__(self, interval: int = 10) -> None:
        if not isinstance(interval, int) or interval < 1:
            raise ValueError(f"interval must be an integer of at least 1, given {interval!r}")
        self.interval = interval

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Logs the figures after iterations 1, 1 + interval …, and the last one."""
        if runner.iter % self.interval == 0 or runner.train_loop.is_last:
            for name, value in runner.bare_model.statistics().items():
                runner.message_hub.update_scalar(f"train/{name}", value)
