"""Stable Diffusion XL with one layer in each block and no middle block (diffengine's tiny: all levels stay)."""

from mmengine.config import read_base

with read_base():
    from .stable_diffusion_xl_small import *

model.pruner.update(variant="sdxl_tiny")
model.distiller.objectives.loss_feature.update(pairs="sdxl_tiny")
