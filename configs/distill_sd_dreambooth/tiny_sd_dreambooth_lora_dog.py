"""DreamBooth with LoRA on Tiny SD: a dog from a handful of photographs in data/dog."""

from mmengine.config import read_base

with read_base():
    from .._base_.datasets.dreambooth import *
    from .._base_.default_runtime import *
    from .._base_.models.tiny_sd import *
    from .._base_.schedules.adamw import *

from diffkit.engine.hooks import SampleHook
from diffkit.models import LoRATuner

model.update(tuners=dict(unet=dict(type=LoRATuner, component="unet", rank=8)))
optim_wrapper.update(dtype="bfloat16")
default_hooks.checkpoint.update(interval=100)
custom_hooks = [dict(type=SampleHook, prompts=["A photo of sks dog in a bucket"] * 4, interval=100)]
