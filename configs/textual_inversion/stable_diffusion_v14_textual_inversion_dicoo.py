"""Textual inversion on Stable Diffusion 1.4: the toy Dicoo, from one picture in data/dicoo."""

from mmengine.config import read_base

with read_base():
    from .._base_.datasets.learned_word import *
    from .._base_.default_runtime import *
    from .._base_.models.stable_diffusion_v15 import *
    from .._base_.schedules.adamw import *

from diffkit.engine.hooks import SampleHook, StatisticsHook
from diffkit.models import TextualInversion

model.update(
    pretrained="CompVis/stable-diffusion-v1-4",
    tuners=dict(word=dict(
        type=TextualInversion, placeholder_token="<dicoo>", initializer_token="toy", export_pipeline=True)))
train_dataloader.dataset.update(data_root="data/dicoo", placeholder="<dicoo>")
train_cfg.update(max_iters=3000)
optim_wrapper.update(dtype="bfloat16")
optim_wrapper.optimizer.update(lr=5e-4)
scale_lr = True  # times the batch of 4: 2e-3
default_hooks.checkpoint.update(interval=1000, max_keep_ckpts=1)  # each holds a whole pipeline
custom_hooks = [
    dict(type=StatisticsHook),
    dict(type=SampleHook, prompts=["a photo of a <dicoo>", "a <dicoo> in the snow at night"] * 2, interval=500)]
