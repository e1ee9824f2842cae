"""Textual inversion on Stable Diffusion XL at 1024 px: a style as a word of two vectors, from data/chinese_art."""

from mmengine.config import read_base

with read_base():
    from .stable_diffusion_xl_textual_inversion_cat_toy import *

from diffkit.engine.hooks import SampleHook, StatisticsHook

model.tuners.word.update(placeholder_token="<chinese-art>", num_vectors=2)
train_dataloader.dataset.update(
    data_root="data/chinese_art", placeholder="<chinese-art>", learnable_property="style", center_crop=False)
train_cfg.update(max_iters=2000)
custom_hooks = [
    dict(type=StatisticsHook),
    dict(type=SampleHook, prompts=["a dog in <chinese-art> style"] * 4, interval=500, batch_size=1)]
