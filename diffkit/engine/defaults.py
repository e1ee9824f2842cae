"""What a config need not say: the hooks of every training, and the ends of schedules."""

import copy
from typing import Any

DEFAULT_HOOKS: dict[str, dict[str, Any]] = {
    "runtime_info": {"type": "RuntimeInfoHook"},
    "timer": {"type": "IterTimerHook"},
    "logger": {"type": "LoggerHook", "interval": 10},
    "param_scheduler": {"type": "diffkit.ParamSchedulerHook"},
    "checkpoint": {"type": "diffkit.CheckpointHook", "interval": 500},
    "preflight": {"type": "diffkit.PreflightHook"},
    "progress": {"type": "diffkit.ProgressHook"},
    "cost": {"type": "diffkit.CostHook"},
    "compile_report": {"type": "diffkit.CompileReportHook"},
}


def complete_hooks(hooks: dict[str, Any] | None) -> list[Any]:
    """Returns the default hooks as a config changes them.

    Args:
        hooks: ``default_hooks`` of the config. None as a value switches a hook off; a dict without ``type``
            only sets arguments; anything else takes the place of the default, or is one more.
    """
    chosen: dict[str, Any] = copy.deepcopy(DEFAULT_HOOKS)
    for name, hook in (hooks or {}).items():
        if isinstance(hook, dict) and "type" not in hook and name in chosen:
            chosen[name].update(hook)
        else:
            chosen[name] = hook
    logger = chosen["logger"]
    if isinstance(logger, dict) and "log_metric_by_epoch" not in logger:
        chosen["logger"] = dict(logger, log_metric_by_epoch=False)
    return [hook for hook in chosen.values() if hook is not None]


def complete_schedules(schedules: Any, optimizer_steps: int) -> list[Any]:
    """Lets schedules count optimizer steps; one without an end goes to the end of the training.

    Raises:
        ValueError: a schedule counts epochs.
    """
    completed = []
    for schedule in schedules if isinstance(schedules, (list, tuple)) else [schedules]:
        if isinstance(schedule, dict):
            if schedule.get("by_epoch"):
                raise ValueError("param_scheduler.by_epoch=True is not supported: schedules count optimizer steps")
            schedule = {"end": optimizer_steps} | dict(schedule) | {"by_epoch": False}
        completed.append(schedule)
    return completed
