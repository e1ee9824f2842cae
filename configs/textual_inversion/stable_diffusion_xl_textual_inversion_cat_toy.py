"""Textual inversion on Stable Diffusion XL at 1024 px: a toy cat as a word of ten vectors, data/cat_toy."""

from mmengine.config import read_base

with read_base():
    from .._base_.datasets.learned_word import *
    from .._base_.default_runtime import *
    from .._base_.models.stable_diffusion_xl import *
    from .._base_.schedules.adamw import *

from diffkit.engine.hooks import SampleHook, StatisticsHook
from diffkit.models import TextualInversion

model.update(
    tuners=dict(word=dict(type=TextualInversion, placeholder_token="<cat-toy>", num_vectors=10)),
    gradient_checkpointing=True)
train_dataloader.update(batch_size=1)
train_dataloader.dataset.update(resolution=1024)
train_cfg.update(max_iters=3000)
optim_wrapper.update(dtype="bfloat16", accumulative_counts=4)
optim_wrapper.optimizer.update(lr=5e-4)
custom_hooks = [
    dict(type=StatisticsHook),
    dict(type=SampleHook, prompts=["a <cat-toy> backpack"] * 4, interval=500, batch_size=1)]
