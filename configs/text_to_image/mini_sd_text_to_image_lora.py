"""LoRA of the packaged miniature on drawn, captioned pictures, with the pairs that training held out."""

from mmengine.config import read_base

with read_base():
    from .._base_.datasets.shapes import *
    from .._base_.default_runtime import *
    from .._base_.models.mini_sd import *
    from .._base_.schedules.adamw import *

from diffkit.engine.hooks import SampleHook
from diffkit.models import LoRATuner

model.update(tuners=dict(unet=dict(type=LoRATuner, component="unet", rank=8)))
train_dataloader.update(batch_size=16)
train_dataloader.dataset.update(length=2000, split="all", caption_dropout=0.1)
train_cfg.update(max_iters=300)
optim_wrapper.optimizer.update(lr=5e-4)
custom_hooks = [dict(type=SampleHook, interval=100, prompts=[
    "a photo of a purple circle on a white background", "a photo of a blue heart on a yellow background"])]
