"""Schedules that count optimizer steps."""

from typing import Any

from mmengine.hooks import Hook

from diffkit.registry import HOOKS


@HOOKS.register_module()
class ParamSchedulerHook(Hook):
    """Advances the schedules of learning rate and the like after each optimizer step.

    An iteration that only accumulates gradients, or whose step was skipped, does not count.
    """

    priority = "LOW"

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Steps the schedules if the optimizer has stepped."""
        if runner.optim_wrapper.stepped:
            for scheduler in runner.param_schedulers or []:
                scheduler.step()
