"""Personalise, then distil: a small model of one subject, from its pictures and those that the teacher paints.

The teacher is the model of mini_sd_dreambooth_lora, which has to be there. No other data is used: its prior pictures
show ordinary prompts, so that the student keeps what it knew.
"""

from mmengine.config import read_base

with read_base():
    from .._base_.datasets.concept_prompts import *
    from .._base_.datasets.dreambooth import *
    from .._base_.datasets.shapes_prior import *
    from .._base_.default_runtime import *
    from .._base_.distillers.unet_output_feature import *
    from .._base_.models.mini_sd import *
    from .._base_.schedules.adamw import *

from mmengine.optim import LinearLR

from diffkit.engine.hooks import PriorImagesHook, SampleHook
from diffkit.models import BlockRemoval, FullTuner, RelativeMSELoss

_distiller.objectives.loss_feature.update(loss=dict(type=RelativeMSELoss), weight=0.05, pairs="sd_small")
model.update(
    pretrained="work_dirs/mini_sd_dreambooth_lora/step299",
    tuners=dict(unet=dict(type=FullTuner, component="unet")),
    pruner=dict(type=BlockRemoval, variant="sd_small"),
    distiller=_distiller)
train_dataloader.update(batch_size=32, num_workers=0, persistent_workers=False)
train_dataloader.dataset.update(
    data_root="shapes:striped_heart", instance_prompt="a photo of a {} heart", placeholder="sks", resolution=64,
    hflip=0.0, class_prompt=[
        *_prior_prompts, "a photo of a sks heart on a green background", "a photo of a sks heart on a red background"],
    num_class_images=256, prior_caption_dropout=0.15)
train_cfg.update(max_iters=400)
optim_wrapper.optimizer.update(lr=1e-3, betas=(0.9, 0.99), weight_decay=1e-3)
param_scheduler = [
    dict(type=LinearLR, start_factor=0.05, begin=0, end=20, by_epoch=False),
    dict(type=LinearLR, start_factor=1.0, end_factor=0.02, begin=200, end=400, by_epoch=False)]
custom_hooks = [
    dict(type=PriorImagesHook, batch_size=32, guidance_scale=3.0),
    dict(type=SampleHook, interval=200, prompts=[
        "a photo of a sks heart on a green background", "a photo of a sks heart on a red background",
        "a photo of a red circle", "a photo of a blue and white striped square"])]
