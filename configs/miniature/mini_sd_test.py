"""How often mini-sd paints what prompts ask for: plain, with patterns, and pairs that training never showed."""

from mmengine.config import read_base

with read_base():
    from .._base_.datasets.shapes_prompts import *
    from .._base_.default_runtime import *
    from .._base_.models.mini_sd import *

from diffkit.models import FullTuner

# nothing is trained here; a checkpoint of mini_sd_unet holds the weights of these two
model.update(
    tuners=dict(
        unet=dict(type=FullTuner, component="unet"),
        text_encoder=dict(type=FullTuner, component="text_encoder")))
