"""Stable Diffusion XL with one layer in each block: 1.72 of 2.57 billion UNet weights (diffengine's small)."""

from mmengine.config import read_base

with read_base():
    from .._base_.datasets.text_image import *
    from .._base_.default_runtime import *
    from .._base_.distillers.unet_output_feature import *
    from .._base_.models.stable_diffusion_xl import *
    from .._base_.schedules.segmind_distillation import *

from diffkit.engine.hooks import SampleHook
from diffkit.models import BlockRemoval, FullTuner

_distiller.update(dtype="bfloat16")
_distiller.objectives.loss_output.update(weight=1.0)  # diffengine weighs all three terms 1
_distiller.objectives.loss_feature.update(weight=1.0, pairs="sdxl_small")
model.update(
    tuners=dict(unet=dict(type=FullTuner, component="unet")),
    pruner=dict(type=BlockRemoval, variant="sdxl_small"),
    distiller=_distiller,
    gradient_checkpointing=True)
train_dataloader.update(batch_size=1)
train_dataloader.dataset.update(data_root="data/laion_art", resolution=1024)
default_hooks.checkpoint.update(interval=2000)
custom_hooks = [dict(type=SampleHook, prompts=["a lighthouse by the sea"] * 4, interval=2000)]
