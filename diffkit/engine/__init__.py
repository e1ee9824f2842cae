"""The engine: runner, train loop, optimizer, checkpoints and hooks."""

from diffkit.engine import hooks
from diffkit.engine.errors import DiskFullError, NonFiniteError, ResumeError, WorkDirBusyError
from diffkit.engine.loops import PostTraining, StepLoop
from diffkit.engine.optim import OptimWrapper
from diffkit.engine.optim_constructor import Adam8bit, AdamW8bit, TrainableConstructor
from diffkit.engine.picture_loop import PictureLoop
from diffkit.engine.runner import Runner
from diffkit.engine.sharding import ShardedDataParallel

__all__ = [
    "Adam8bit",
    "AdamW8bit",
    "DiskFullError",
    "NonFiniteError",
    "OptimWrapper",
    "PictureLoop",
    "PostTraining",
    "ResumeError",
    "Runner",
    "ShardedDataParallel",
    "StepLoop",
    "TrainableConstructor",
    "WorkDirBusyError",
    "hooks",
]
