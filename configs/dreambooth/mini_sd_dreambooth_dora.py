"""DreamBooth with DoRA on the packaged miniature: LoRA that learns the length of each row apart."""

from mmengine.config import read_base

with read_base():
    from .mini_sd_dreambooth_lora import *

model.tuners.unet.update(kind="dora")
model.tuners.text_encoder.update(kind="dora")
