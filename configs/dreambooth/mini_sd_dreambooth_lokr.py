"""DreamBooth with LoKr on the packaged miniature: Kronecker products."""

from mmengine.config import read_base

with read_base():
    from .mini_sd_dreambooth_lora import *

_lokr = dict(decompose_factor=4)
model.tuners.unet.update(kind="lokr", options=_lokr)
model.tuners.text_encoder.update(kind="lokr", options=_lokr)
optim_wrapper.optimizer.update(lr=4e-3)
