"""Pivotal tuning on Stable Diffusion 1.5: a word of four vectors and LoRA on the UNet, from data/cat_toy."""

from mmengine.config import read_base

with read_base():
    from .._base_.datasets.learned_word import *
    from .._base_.default_runtime import *
    from .._base_.models.stable_diffusion_v15 import *
    from .._base_.schedules.adamw import *

from diffkit.engine.hooks import SampleHook, StatisticsHook
from diffkit.models import LoRATuner, TextualInversion

model.update(tuners=dict(
    word=dict(type=TextualInversion, placeholder_token="<cat-toy>", initializer_token="toy", num_vectors=4),
    unet=dict(type=LoRATuner, component="unet", rank=8)))
optim_wrapper.update(dtype="bfloat16", paramwise_cfg=dict(custom_keys=dict(learned=dict(lr_mult=5.0))))
custom_hooks = [
    dict(type=StatisticsHook),
    dict(type=SampleHook, prompts=["a photo of a <cat-toy>", "a <cat-toy> backpack"] * 2, interval=200)]
