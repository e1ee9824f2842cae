"""DreamBooth with DoRA on Stable Diffusion 1.5: a dog from a handful of photographs in data/dog."""

from mmengine.config import read_base

with read_base():
    from .stable_diffusion_v15_dreambooth_lora_dog import *

model.tuners.unet.update(kind="dora")
