"""How often mini-sdxl paints what prompts ask for: plain, with patterns, and pairs that training never showed."""

from mmengine.config import read_base

with read_base():
    from .._base_.datasets.shapes_prompts import *
    from .._base_.default_runtime import *
    from .._base_.models.mini_sdxl import *

from diffkit.models import FullTuner

# nothing is trained here; a checkpoint of mini_sdxl_unet holds the weights of these three
model.update(
    tuners=dict(
        unet=dict(type=FullTuner, component="unet"),
        text_encoder=dict(type=FullTuner, component="text_encoder"),
        text_encoder_2=dict(type=FullTuner, component="text_encoder_2")))
