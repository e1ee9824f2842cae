"""Distil, then personalise: DreamBooth with LoRA on the student of mini_sd_distill_small, which has to be there."""

from mmengine.config import read_base

with read_base():
    from ..dreambooth.mini_sd_dreambooth_lora import *

model.update(pretrained="work_dirs/mini_sd_distill_small/step5999")
