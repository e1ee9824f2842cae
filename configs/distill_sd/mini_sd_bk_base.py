"""The packaged miniature as BK-SDM-Base: as mini_sd_distill_small, and the middle block is not compared."""

from mmengine.config import read_base

with read_base():
    from .mini_sd_distill_small import *

model.pruner.update(variant="bk_base")
model.distiller.objectives.loss_feature.update(pairs="bk_base")
