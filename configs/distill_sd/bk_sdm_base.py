"""BK-SDM-Base: Stable Diffusion 1.4 without a third of its UNet (Kim et al. 2023, arXiv 2305.15798)."""

from mmengine.config import read_base

with read_base():
    from .._base_.datasets.text_image import *
    from .._base_.default_runtime import *
    from .._base_.distillers.unet_output_feature import *
    from .._base_.models.stable_diffusion_v15 import *
    from .._base_.schedules.bk_distillation import *

from diffkit.engine.hooks import EMAHook, SampleHook
from diffkit.models import BlockRemoval, FullTuner

_distiller.update(dtype="bfloat16")  # the reference casts the teacher to the format of its autocast too
_distiller.objectives.loss_output.update(weight=1.0)
_distiller.objectives.loss_feature.update(weight=1.0, pairs="bk_base")  # the middle block is not compared
model.update(
    pretrained="CompVis/stable-diffusion-v1-4",
    tuners=dict(unet=dict(type=FullTuner, component="unet")),
    pruner=dict(type=BlockRemoval, variant="bk_base"),
    distiller=_distiller,
    gradient_checkpointing=True)
train_dataloader.update(batch_size=64)
train_dataloader.dataset.update(data_root="data/laion_aesthetics_212k")
default_hooks.checkpoint.update(interval=20000)
randomness.update(seed=1234)
custom_hooks = [
    dict(type=EMAHook, decay=0.9999),
    dict(type=SampleHook, prompts=["a golden vase with different flowers"] * 2, interval=2000)]
