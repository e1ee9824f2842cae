"""The packaged miniature as BK-SDM-Small: as BK-SDM-Base, without the middle block."""

from mmengine.config import read_base

with read_base():
    from .mini_sd_distill_small import *

model.pruner.update(variant="bk_small")
model.distiller.objectives.loss_feature.update(pairs="bk_small")
