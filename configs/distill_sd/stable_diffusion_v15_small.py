"""Stable Diffusion 1.5 without a third of its UNet, taught by the whole one: segmind's small."""

from mmengine.config import read_base

with read_base():
    from .._base_.datasets.text_image import *
    from .._base_.default_runtime import *
    from .._base_.distillers.unet_output_feature import *
    from .._base_.models.stable_diffusion_v15 import *
    from .._base_.schedules.segmind_distillation import *

from diffkit.engine.hooks import SampleHook
from diffkit.models import BlockRemoval, FullTuner

_distiller.update(dtype="bfloat16")  # segmind keeps the teacher in float32, and lets it collect gradients
_distiller.objectives.loss_feature.update(pairs="sd_small")
model.update(
    tuners=dict(unet=dict(type=FullTuner, component="unet")),
    pruner=dict(type=BlockRemoval, variant="sd_small"),
    distiller=_distiller,
    gradient_checkpointing=True)
train_dataloader.update(batch_size=1)  # of the command; 32 in the settings
train_dataloader.dataset.update(data_root="data/laion_art")
default_hooks.checkpoint.update(interval=2000)
custom_hooks = [dict(type=SampleHook, prompts=["a lighthouse by the sea"] * 4, interval=2000)]
