"""The engine: runner, train loop, optimizer, checkpoints and hooks."""

from diffkit.engine import hooks
from diffkit.engine.loops import StepLoop
from diffkit.engine.optim import NonFiniteError, OptimWrapper
from diffkit.engine.optim_constructor import Adam8bit, AdamW8bit, TrainableConstructor
from diffkit.engine.runner import Runner

__all__ = ["Adam8bit", "AdamW8bit", "NonFiniteError", "OptimWrapper", "Runner", "StepLoop", "TrainableConstructor",
           "hooks"]
