"""Textual inversion on the packaged mini-sdxl: a cyan triangle as a word of four vectors in each text encoder."""

from mmengine.config import read_base

with read_base():
    from .mini_sd_textual_inversion import *

from diffkit.models import StableDiffusionXL

model.family.update(type=StableDiffusionXL)
model.update(pretrained="mini-sdxl")
