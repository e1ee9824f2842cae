"""BK-SDM-Small: Base without the middle block, 44 % less than Stable Diffusion 1.4's UNet."""

from mmengine.config import read_base

with read_base():
    from .bk_sdm_base import *

model.pruner.update(variant="bk_small")
model.distiller.objectives.loss_feature.update(pairs="bk_small")
