"""The packaged miniature without its lowest level, its middle and the second layers, taught by the whole one."""

from mmengine.config import read_base

with read_base():
    from .mini_sd_distill_small import *

model.pruner.update(variant="sd_tiny")
model.distiller.objectives.loss_feature.update(pairs="sd_tiny")
# half the iterations are enough for a student that starts nearer to its goal
train_cfg.update(max_iters=3000)
param_scheduler[-1].update(begin=1000, end=3000)
