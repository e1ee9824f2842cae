"""The schedule of segmind's distill-sd, as in the command of its README.

Its section on settings says otherwise: a cosine schedule and batches of 32. The published models were trained for
100,000 steps (small-sd) and 125,000 (tiny-sd), says their announcement.
"""

from torch.optim import AdamW

from diffkit.engine import OptimWrapper, StepLoop

train_cfg = dict(type=StepLoop, max_iters=60000)  # 15,000 optimizer steps of the command, with 4 batches in each
optim_wrapper = dict(
    type=OptimWrapper,
    optimizer=dict(type=AdamW, lr=1e-5, weight_decay=1e-2),
    accumulative_counts=4,
    clip_grad=dict(max_norm=1.0),
    dtype="bfloat16")  # the command has fp16, in which distillation was seen to overflow
param_scheduler = []  # constant, as in the command
