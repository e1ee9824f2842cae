"""DreamBooth with LoRA on Stable Diffusion XL at 1024 px: a dog from a handful of photographs in data/dog."""

from mmengine.config import read_base

with read_base():
    from .._base_.datasets.dreambooth import *
    from .._base_.default_runtime import *
    from .._base_.models.stable_diffusion_xl import *
    from .._base_.schedules.adamw import *

from diffkit.engine.hooks import SampleHook
from diffkit.models import LoRATuner

model.update(
    tuners=dict(unet=dict(type=LoRATuner, component="unet", rank=8)),
    gradient_checkpointing=True)
train_dataloader.update(batch_size=1)
train_dataloader.dataset.update(resolution=1024)
train_cfg.update(max_iters=500)
optim_wrapper.update(dtype="bfloat16", accumulative_counts=4)
custom_hooks = [dict(type=SampleHook, prompts=["A photo of sks dog in a bucket"] * 4, interval=100)]
