"""mini-sd, first part: the tokenizer and the VAE, from nothing."""

from mmengine.config import read_base

with read_base():
    from .._base_.datasets.shapes import *
    from .._base_.datasets.shapes_scenes import *
    from .._base_.default_runtime import *
    from .._base_.models.mini_sd_scratch import *
    from .._base_.schedules.adamw import *

from mmengine.optim import LinearLR

from diffkit.engine.hooks import EMAHook
from diffkit.models import FullTuner, Reconstruction

model.update(
    tuners=dict(vae=dict(type=FullTuner, component="vae")),
    # half of SD's latent scale: less of 16 channels then shows through the noise of the last timestep
    objective=dict(type=Reconstruction, latent_std=0.5))
train_dataloader.update(batch_size=16)
# a third are crops of photographs, so that real pictures survive the VAE; no picture comes twice
train_dataloader.dataset.update(length=80000, textured=0.5, photo_fraction=0.33, keep_in_memory=False)
train_cfg.update(max_iters=5000)
optim_wrapper.update(dtype="bfloat16")  # 1.4 times as fast as float32 here
optim_wrapper.optimizer.update(lr=5e-4, betas=(0.9, 0.99), weight_decay=0.0)
param_scheduler = [
    dict(type=LinearLR, start_factor=0.02, begin=0, end=50, by_epoch=False),
    dict(type=LinearLR, start_factor=1.0, end_factor=0.02, begin=2000, end=5000, by_epoch=False)]
custom_hooks = [dict(type=EMAHook, decay=0.995)]
