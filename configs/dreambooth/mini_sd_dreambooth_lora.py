"""DreamBooth with LoRA on the packaged miniature: a purple and white striped heart, about a minute on a CPU."""

from mmengine.config import read_base

with read_base():
    from .._base_.datasets.concept_prompts import *
    from .._base_.datasets.dreambooth import *
    from .._base_.datasets.shapes_prior import *
    from .._base_.default_runtime import *
    from .._base_.models.mini_sd import *
    from .._base_.schedules.adamw import *

from mmengine.optim import LinearLR

from diffkit.engine.hooks import PriorImagesHook, SampleHook
from diffkit.models import Denoising, LoRATuner, MinSNRWeight

_targets = r".*(to_[qkv]|to_out\.0|ff\.net\.0\.proj|ff\.net\.2)"
model.update(
    tuners=dict(
        unet=dict(type=LoRATuner, component="unet", rank=16, target_modules=_targets),
        text_encoder=dict(type=LoRATuner, component="text_encoder", rank=16)),
    objective=dict(type=Denoising, weighting=dict(type=MinSNRWeight)))
train_dataloader.update(batch_size=8, num_workers=0, persistent_workers=False)
train_dataloader.dataset.update(
    data_root="shapes:striped_heart", instance_prompt="a photo of a {} heart", placeholder="sks", resolution=64,
    hflip=0.0, class_prompt=_prior_prompts, num_class_images=64,
    prior_caption_dropout=0.15)  # without it guidance forgets the ordinary prompts, see README.md
train_cfg.update(max_iters=300)
optim_wrapper.optimizer.update(lr=1e-3, weight_decay=0.0)
param_scheduler = [dict(type=LinearLR, start_factor=0.05, begin=0, end=20, by_epoch=False),
                   dict(type=LinearLR, start_factor=1.0, end_factor=0.0, begin=180, end=300, by_epoch=False)]
custom_hooks = [dict(type=PriorImagesHook, batch_size=32, guidance_scale=3.0),
                dict(type=SampleHook, interval=100, prompts=[
                    "a photo of a sks heart on a green background", "a photo of a sks heart on a red background",
                    "a photo of a red circle", "a photo of a blue and white striped square"])]
