"""DreamBooth with LoRA on the packaged miniature: the concept in pictures of five shapes, each in its own."""

from mmengine.config import read_base

with read_base():
    from .mini_sd_dreambooth_lora import *

from diffkit.datasets import BucketSampler

train_dataloader.update(batch_size=4, sampler=dict(type=BucketSampler))
train_dataloader.dataset.update(num_images=20, buckets=dict(step=8, max_ratio=1.6))
