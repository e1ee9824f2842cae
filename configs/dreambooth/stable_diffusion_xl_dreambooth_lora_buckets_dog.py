"""DreamBooth with LoRA on SDXL: photographs of all shapes in data/dog, none squashed, next to nothing cut away."""

from mmengine.config import read_base

with read_base():
    from .stable_diffusion_xl_dreambooth_lora_dog import *

from diffkit.datasets import BucketSampler

train_dataloader.update(sampler=dict(type=BucketSampler))
train_dataloader.dataset.update(buckets=dict(max_ratio=2.0, enlarge=1.5))
