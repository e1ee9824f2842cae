"""DreamBooth with LoHa on the packaged miniature: products of two low-rank updates, element by element."""

from mmengine.config import read_base

with read_base():
    from .mini_sd_dreambooth_lora import *

model.tuners.unet.update(kind="loha", rank=8)
model.tuners.text_encoder.update(kind="loha", rank=8)
optim_wrapper.optimizer.update(lr=8e-3)
