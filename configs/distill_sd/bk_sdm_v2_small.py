"""BK-SDM-v2-Small: v2-Base without the middle block."""

from mmengine.config import read_base

with read_base():
    from .bk_sdm_v2_base import *

model.pruner.update(variant="bk_small")
model.distiller.objectives.loss_feature.update(pairs="bk_small")
