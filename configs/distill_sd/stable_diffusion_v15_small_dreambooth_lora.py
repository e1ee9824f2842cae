"""Distil, then personalise: DreamBooth with LoRA on the student of stable_diffusion_v15_small."""

from mmengine.config import read_base

with read_base():
    from ..distill_sd_dreambooth.small_sd_dreambooth_lora_dog import *

model.update(pretrained="work_dirs/stable_diffusion_v15_small/step59999")
