"""LoRA of Stable Diffusion 1.5 on captioned pictures in data/text_image."""

from mmengine.config import read_base

with read_base():
    from .._base_.datasets.text_image import *
    from .._base_.default_runtime import *
    from .._base_.models.stable_diffusion_v15 import *
    from .._base_.schedules.adamw import *

from diffkit.engine.hooks import SampleHook
from diffkit.models import LoRATuner

model.update(
    tuners=dict(unet=dict(type=LoRATuner, component="unet", rank=8)),
    gradient_checkpointing=True)
train_dataloader.dataset.update(center_crop=False)
train_cfg.update(max_iters=15000)
optim_wrapper.update(dtype="bfloat16", accumulative_counts=4)
optim_wrapper.optimizer.update(lr=1e-4)
custom_hooks = [dict(type=SampleHook, prompts=["a lighthouse by the sea"] * 4, interval=1000)]
