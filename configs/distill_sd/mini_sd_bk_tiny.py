"""The packaged miniature as BK-SDM-Tiny, whose lowest level is compared before its last convolution."""

from mmengine.config import read_base

with read_base():
    from .mini_sd_distill_small import *

model.pruner.update(variant="bk_tiny")
model.distiller.objectives.loss_feature.update(pairs="bk_tiny")
