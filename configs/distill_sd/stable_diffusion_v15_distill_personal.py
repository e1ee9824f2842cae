"""Personalise, then distil: a small model of one dog, from its photographs and pictures that the teacher paints.

The teacher is the model of stable_diffusion_v15_dreambooth_lora_dog, which has to be there. No other data is used.
"""

from mmengine.config import read_base

with read_base():
    from .._base_.datasets.dreambooth import *
    from .._base_.default_runtime import *
    from .._base_.distillers.unet_output_feature import *
    from .._base_.models.stable_diffusion_v15 import *
    from .._base_.schedules.adamw import *

from diffkit.engine.hooks import PriorImagesHook, SampleHook
from diffkit.models import BlockRemoval, FullTuner

_distiller.update(dtype="bfloat16")
_distiller.objectives.loss_feature.update(pairs="sd_small")
model.update(
    pretrained="work_dirs/stable_diffusion_v15_dreambooth_lora_dog/step999",
    tuners=dict(unet=dict(type=FullTuner, component="unet")),
    pruner=dict(type=BlockRemoval, variant="sd_small"),
    distiller=_distiller,
    gradient_checkpointing=True)
train_dataloader.dataset.update(
    class_prompt=["a photo of a dog", "a photo of sks dog", "a photo of a person", "a photo of a street",
                  "a photo of a landscape", "a painting of a dog", "a photo of sks dog on a beach"],
    num_class_images=1000, prior_caption_dropout=0.1)
train_cfg.update(max_iters=10000)
optim_wrapper.update(dtype="bfloat16", accumulative_counts=4)
optim_wrapper.optimizer.update(lr=1e-5)
default_hooks.checkpoint.update(interval=1000)
custom_hooks = [
    dict(type=PriorImagesHook),
    dict(type=SampleHook, prompts=["A photo of sks dog in a bucket"] * 4, interval=1000)]
