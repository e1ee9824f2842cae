"""The second packaged miniature, of SDXL's anatomy, at 8 bits: its own float UNet teaches it by its output alone."""

from mmengine.config import read_base

with read_base():
    from .mini_sd_qat_kd import *

from diffkit.models import StableDiffusionXL

model.update(family=dict(type=StableDiffusionXL), pretrained="mini-sdxl")
