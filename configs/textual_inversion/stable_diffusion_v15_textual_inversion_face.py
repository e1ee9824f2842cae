"""Textual inversion on Stable Diffusion 1.5: a face as a word of four vectors, from photographs in data/face."""

from mmengine.config import read_base

with read_base():
    from .._base_.datasets.learned_word import *
    from .._base_.default_runtime import *
    from .._base_.models.stable_diffusion_v15 import *
    from .._base_.schedules.adamw import *

from diffkit.engine.hooks import SampleHook, StatisticsHook
from diffkit.models import TextualInversion

model.update(tuners=dict(word=dict(
    type=TextualInversion, placeholder_token="<my-face>", initializer_token="person", num_vectors=4)))
train_dataloader.dataset.update(data_root="data/face", placeholder="<my-face>", learnable_property="face")
train_cfg.update(max_iters=3000)
optim_wrapper.update(dtype="bfloat16")
optim_wrapper.optimizer.update(lr=5e-4)
custom_hooks = [
    dict(type=StatisticsHook),
    dict(type=SampleHook, prompts=["a photo of <my-face>", "an oil painting of <my-face>"] * 2, interval=500)]
