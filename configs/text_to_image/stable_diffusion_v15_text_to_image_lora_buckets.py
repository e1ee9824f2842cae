"""LoRA on Stable Diffusion 1.5 with captioned pictures of all shapes, at 384 and 512 px, none squashed."""

from mmengine.config import read_base

with read_base():
    from .stable_diffusion_v15_text_to_image_lora import *

from diffkit.datasets import BucketSampler

train_dataloader.update(sampler=dict(type=BucketSampler))
train_dataloader.dataset.update(center_crop=True, resolution=[384, 512], buckets=dict(max_ratio=2.0, enlarge=1.0))
