"""Hooks: what happens when, beside the training itself."""

from diffkit.engine.hooks.calibration import CalibrationHook
from diffkit.engine.hooks.checkpoint import CheckpointHook
from diffkit.engine.hooks.compiling import CompileReportHook
from diffkit.engine.hooks.cost import CostHook
from diffkit.engine.hooks.ema import EMAHook
from diffkit.engine.hooks.param_scheduler import ParamSchedulerHook
from diffkit.engine.hooks.preflight import PreflightHook
from diffkit.engine.hooks.prior_images import PriorImagesHook
from diffkit.engine.hooks.progress import ProgressHook
from diffkit.engine.hooks.quantization import QuantizationHook
from diffkit.engine.hooks.sample import SampleHook
from diffkit.engine.hooks.statistics import StatisticsHook

__all__ = [
    "CalibrationHook",
    "CheckpointHook",
    "CompileReportHook",
    "CostHook",
    "EMAHook",
    "ParamSchedulerHook",
    "PreflightHook",
    "PriorImagesHook",
    "ProgressHook",
    "QuantizationHook",
    "SampleHook",
    "StatisticsHook",
]
