"""Stable Diffusion 1.5 with 38 % of its UNet, taught by the whole one: segmind's tiny."""

from mmengine.config import read_base

with read_base():
    from .stable_diffusion_v15_small import *

model.pruner.update(variant="sd_tiny")
model.distiller.objectives.loss_feature.update(pairs="sd_tiny")
