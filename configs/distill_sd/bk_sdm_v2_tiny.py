"""BK-SDM-v2-Tiny: v2-Small without the lowest level."""

from mmengine.config import read_base

with read_base():
    from .bk_sdm_v2_base import *

model.pruner.update(variant="bk_tiny")
model.distiller.objectives.loss_feature.update(pairs="bk_tiny")
