"""The packaged miniature without its lowest level, its middle and the second layers, taught by the whole one."""

from mmengine.config import read_base

with read_base():
    from .mini_sd_distill_small import *

model.pruner.update(variant="sd_tiny")
model.distiller.objectives.loss_feature.update(pairs="sd_tiny")
