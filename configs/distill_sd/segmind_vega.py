"""The layout of Segmind-Vega: Stable Diffusion XL with 0.75 of 2.57 billion UNet weights."""

from mmengine.config import read_base

with read_base():
    from .ssd_1b import *

model.pruner.update(variant="vega")
model.distiller.objectives.loss_feature.update(pairs="vega")
