"""Hooks: what happens when, beside the training itself."""

from diffkit.engine.hooks.checkpoint import CheckpointHook
from diffkit.engine.hooks.param_scheduler import ParamSchedulerHook
from diffkit.engine.hooks.preflight import PreflightHook
from diffkit.engine.hooks.progress import ProgressHook

__all__ = ["CheckpointHook", "ParamSchedulerHook", "PreflightHook", "ProgressHook"]
