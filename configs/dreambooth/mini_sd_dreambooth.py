"""DreamBooth on all weights of the packaged miniature, as a comparison to LoRA."""

from mmengine.config import read_base

with read_base():
    from .mini_sd_dreambooth_lora import *

from diffkit.models import FullTuner

model.tuners = dict(  # a new dict: update() would mix it with LoRA's options
    unet=dict(type=FullTuner, component="unet"),
    text_encoder=dict(type=FullTuner, component="text_encoder"))
optim_wrapper.optimizer.update(lr=3e-4)
