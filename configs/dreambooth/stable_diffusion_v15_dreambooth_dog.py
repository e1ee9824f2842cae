"""DreamBooth on all weights of Stable Diffusion 1.5 and its text encoder, with generated prior pictures."""

from mmengine.config import read_base

with read_base():
    from .._base_.datasets.dreambooth import *
    from .._base_.default_runtime import *
    from .._base_.models.stable_diffusion_v15 import *
    from .._base_.schedules.adamw import *

from diffkit.engine.hooks import PriorImagesHook, SampleHook
from diffkit.models import FullTuner

model.update(
    tuners=dict(
        unet=dict(type=FullTuner, component="unet"),
        text_encoder=dict(type=FullTuner, component="text_encoder")),
    gradient_checkpointing=True)
train_dataloader.update(batch_size=1)
train_dataloader.dataset.update(class_prompt="a photo of dog", num_class_images=200)
optim_wrapper.update(dtype="bfloat16")
optim_wrapper.optimizer.update(lr=2e-6)  # all weights: a fiftieth of LoRA's rate
custom_hooks = [
    dict(type=PriorImagesHook),
    dict(type=SampleHook, prompts=["A photo of sks dog in a bucket"] * 4, interval=200)]
