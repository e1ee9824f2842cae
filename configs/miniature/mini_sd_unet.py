"""mini-sd, fourth part: the UNet and the text encoder, on the latents of the finished VAE."""

from mmengine.config import read_base

with read_base():
    from .._base_.datasets.shapes import *
    from .._base_.datasets.shapes_prompts import *
    from .._base_.default_runtime import *
    from .._base_.models.mini_sd import *
    from .._base_.schedules.adamw import *

from mmengine.optim import LinearLR

from diffkit.engine.hooks import EMAHook, SampleHook
from diffkit.models import Denoising, FullTuner

model.update(
    pretrained="work_dirs/mini_sd_decoder_last/step2999",
    tuners=dict(
        unet=dict(type=FullTuner, component="unet"),
        text_encoder=dict(type=FullTuner, component="text_encoder")),
    objective=dict(type=Denoising))
train_dataloader.update(batch_size=32)
train_dataloader.dataset.update(length=16000, caption_dropout=0.12)
train_cfg.update(max_iters=6000)
optim_wrapper.optimizer.update(lr=1.5e-3, betas=(0.9, 0.99), weight_decay=1e-3)
param_scheduler = [
    dict(type=LinearLR, start_factor=0.02, begin=0, end=60, by_epoch=False),
    dict(type=LinearLR, start_factor=1.0, end_factor=0.02, begin=1800, end=6000, by_epoch=False)]
custom_hooks = [
    dict(type=EMAHook, decay=0.998),
    dict(type=SampleHook, interval=1000, prompts=[
        "a photo of a large red circle on a blue background", "a small white star at the top left",
        "a red and white striped heart on a grey background", "a green and yellow checked square"])]
