"""All UNet weights of Stable Diffusion 1.5 on captioned pictures in data/text_image."""

from mmengine.config import read_base

with read_base():
    from .._base_.datasets.text_image import *
    from .._base_.default_runtime import *
    from .._base_.models.stable_diffusion_v15 import *
    from .._base_.schedules.adamw import *

from diffkit.engine.hooks import EMAHook, SampleHook
from diffkit.models import FullTuner

model.update(
    tuners=dict(unet=dict(type=FullTuner, component="unet")),
    gradient_checkpointing=True)
train_dataloader.dataset.update(center_crop=False)
train_cfg.update(max_iters=15000)
optim_wrapper.update(dtype="bfloat16", accumulative_counts=4)
optim_wrapper.optimizer.update(lr=1e-5)
custom_hooks = [dict(type=EMAHook), dict(type=SampleHook, prompts=["a lighthouse by the sea"] * 4, interval=1000)]
