"""DreamBooth with OFT on the packaged miniature: weights are turned, in blocks of 16 inputs."""

from mmengine.config import read_base

with read_base():
    from .mini_sd_dreambooth_lora import *

from diffkit.models import LoRATuner

_oft = dict(oft_block_size=16, use_cayley_neumann=False)
model.tuners = dict(  # a new dict: OFT has no rank
    unet=dict(type=LoRATuner, component="unet", kind="oft", target_modules=_targets, options=_oft),
    text_encoder=dict(type=LoRATuner, component="text_encoder", kind="oft", options=_oft))
optim_wrapper.optimizer.update(lr=1e-3)
