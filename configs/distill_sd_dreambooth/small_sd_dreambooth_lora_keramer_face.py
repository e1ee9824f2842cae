"""DreamBooth with LoRA on Small SD: a face from data/keramer_face, with generated pictures of other people."""

from mmengine.config import read_base

with read_base():
    from .._base_.datasets.dreambooth import *
    from .._base_.default_runtime import *
    from .._base_.models.small_sd import *
    from .._base_.schedules.adamw import *

from diffkit.engine.hooks import PriorImagesHook, SampleHook
from diffkit.models import LoRATuner

model.update(tuners=dict(unet=dict(type=LoRATuner, component="unet", rank=8)))
train_dataloader.dataset.update(
    data_root="data/keramer_face",
    instance_prompt="a photo of sks person",
    class_prompt="a photo of person",
    num_class_images=200)
optim_wrapper.update(dtype="bfloat16")
default_hooks.checkpoint.update(interval=100)
custom_hooks = [
    dict(type=PriorImagesHook),
    dict(type=SampleHook, prompts=["A photo of sks person in a forest"] * 4, interval=100)]
