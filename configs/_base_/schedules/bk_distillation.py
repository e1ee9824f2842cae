"""The schedule of BK-SDM: 50,000 optimizer steps on batches of 256.

The script of the repository says 400,000 steps; the published models are those of step 50,000, say its authors. It
builds its average from random weights, the first update of which copies the student's: the average here is the same.
"""

from torch.optim import AdamW

from diffkit.engine import OptimWrapper, StepLoop

train_cfg = dict(type=StepLoop, max_iters=200000)  # 4 batches in each optimizer step
optim_wrapper = dict(
    type=OptimWrapper,
    optimizer=dict(type=AdamW, lr=5e-5, weight_decay=1e-2),
    accumulative_counts=4,
    clip_grad=dict(max_norm=1.0),
    dtype="bfloat16")  # fp16 in the reference
param_scheduler = []
