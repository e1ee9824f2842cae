"""Realistic Vision 4.0 with 38 % of its UNet: segmind's tiny."""

from mmengine.config import read_base

with read_base():
    from .realistic_vision_v40_small import *

model.pruner.update(variant="sd_tiny")
model.distiller.objectives.loss_feature.update(pairs="sd_tiny")
