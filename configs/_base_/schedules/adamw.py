"""A number of steps with AdamW at a constant learning rate, gradients clipped at norm 1."""

from torch.optim import AdamW

from diffkit.engine import OptimWrapper, StepLoop

train_cfg = dict(type=StepLoop, max_iters=1000)
optim_wrapper = dict(
    type=OptimWrapper,
    optimizer=dict(type=AdamW, lr=1e-4, weight_decay=1e-2),
    accumulative_counts=1,
    clip_grad=dict(max_norm=1.0),
    dtype=None)
param_scheduler = []
