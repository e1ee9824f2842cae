"""mini-sdxl: the UNet and both text encoders, begun with what mini-sd has learned; its VAE stays as it is."""

from mmengine.config import read_base

with read_base():
    from .._base_.datasets.shapes import *
    from .._base_.datasets.shapes_prompts import *
    from .._base_.default_runtime import *
    from .._base_.models.mini_sdxl_scratch import *
    from .._base_.schedules.adamw import *

from mmengine.optim import LinearLR

from diffkit.engine.hooks import EMAHook, SampleHook
from diffkit.models import Denoising, FullTuner

model.family.update(grown_from="mini-sd")
model.update(
    tuners=dict(
        unet=dict(type=FullTuner, component="unet"),
        text_encoder=dict(type=FullTuner, component="text_encoder"),
        text_encoder_2=dict(type=FullTuner, component="text_encoder_2")),
    objective=dict(type=Denoising))
train_dataloader.update(batch_size=24)
train_dataloader.dataset.update(length=10000, seed=2, textured=0.5, caption_dropout=0.15)
train_cfg.update(max_iters=1500)
optim_wrapper.optimizer.update(lr=4e-4, betas=(0.9, 0.99), weight_decay=1e-3, fused=True)
# text states come without their norm, ten times as large, so these weights are a tenth of what they were in mini-sd
optim_wrapper.update(paramwise_cfg=dict(custom_keys={"attn2.to_k": dict(lr_mult=0.1), "attn2.to_v": dict(lr_mult=0.1)}))
param_scheduler = [
    dict(type=LinearLR, start_factor=0.02, begin=0, end=100, by_epoch=False),
    dict(type=LinearLR, start_factor=1.0, end_factor=0.02, begin=400, end=1500, by_epoch=False)]
custom_hooks = [
    dict(type=EMAHook, decay=0.998),
    dict(type=SampleHook, interval=500, prompts=[
        "a photo of a large red circle on a blue background", "a small white star at the top left",
        "a red and white striped heart on a grey background", "a green and yellow checked square"])]
