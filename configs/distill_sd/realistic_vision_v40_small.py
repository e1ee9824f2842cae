"""Realistic Vision 4.0 without a third of its UNet: segmind's command, letter for letter but for the number format."""

from mmengine.config import read_base

with read_base():
    from .stable_diffusion_v15_small import *

model.update(pretrained="SG161222/Realistic_Vision_V4.0")
