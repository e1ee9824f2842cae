"""The packaged miniature without a third of its UNet, taught by the whole one, in some forty minutes on a CPU.

The teacher's output counts more than the drawings, for it has no noise in it. Timesteps are weighed by min-SNR: what is
shown is decided where there is much noise.
"""

from mmengine.config import read_base

with read_base():
    from .._base_.datasets.shapes import *
    from .._base_.datasets.shapes_prompts import *
    from .._base_.default_runtime import *
    from .._base_.distillers.unet_output_feature import *
    from .._base_.models.mini_sd import *
    from .._base_.schedules.adamw import *

from mmengine.optim import LinearLR

from diffkit.engine.hooks import SampleHook
from diffkit.models import BlockRemoval, Denoising, FullTuner, MinSNRWeight, RelativeMSELoss

_distiller.objectives.loss_output.update(weight=1.0, snr_weighted=True)
# the features of the last block are far larger than the noise: with plain MSE little else would be learned
_distiller.objectives.loss_feature.update(loss=dict(type=RelativeMSELoss), weight=0.1, pairs="sd_small")
model.update(
    tuners=dict(unet=dict(type=FullTuner, component="unet")),
    pruner=dict(type=BlockRemoval, variant="sd_small"),
    objective=dict(type=Denoising, weighting=dict(type=MinSNRWeight), loss_weight=0.2),
    distiller=_distiller,
    cache_text=False)  # captions are worded anew in each draw; encoded together they cost less than one by one
train_dataloader.update(batch_size=32)
train_dataloader.dataset.update(length=2000, caption_dropout=0.12)
train_cfg.update(max_iters=6000)
optim_wrapper.optimizer.update(lr=2e-3, betas=(0.9, 0.99), weight_decay=1e-3, fused=True)
param_scheduler = [
    dict(type=LinearLR, start_factor=0.05, begin=0, end=30, by_epoch=False),
    dict(type=LinearLR, start_factor=1.0, end_factor=0.02, begin=2000, end=6000, by_epoch=False)]
default_hooks.checkpoint.update(interval=500)
custom_hooks = [dict(type=SampleHook, interval=500, prompts=[
    "a photo of a large red circle on a blue background", "a small white star at the top left",
    "a red and white striped heart on a grey background", "a green and yellow checked square"])]
