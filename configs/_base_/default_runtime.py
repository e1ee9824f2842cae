"""How a training runs: hooks, logging, seed."""

from mmengine.hooks import IterTimerHook, LoggerHook, RuntimeInfoHook
from mmengine.runner import LogProcessor
from mmengine.visualization import LocalVisBackend, Visualizer

from diffkit.engine import Runner
from diffkit.engine.hooks import CheckpointHook, ParamSchedulerHook, PreflightHook, ProgressHook

default_scope = "diffkit"
runner_type = Runner
default_hooks = dict(
    runtime_info=dict(type=RuntimeInfoHook),
    timer=dict(type=IterTimerHook),
    logger=dict(type=LoggerHook, interval=10),
    param_scheduler=dict(type=ParamSchedulerHook),
    checkpoint=dict(type=CheckpointHook, interval=500, max_keep_ckpts=3),
    preflight=dict(type=PreflightHook),
    progress=dict(type=ProgressHook))
custom_hooks = []
log_processor = dict(type=LogProcessor, by_epoch=False)
visualizer = dict(type=Visualizer, vis_backends=[dict(type=LocalVisBackend)])
env_cfg = dict(cudnn_benchmark=False)
randomness = dict(seed=0)
log_level = "INFO"
load_from = None
resume = False
