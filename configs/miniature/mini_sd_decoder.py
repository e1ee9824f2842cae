"""mini-sd, second part: the VAE's decoder alone. The encoder stays, and with it all latents."""

from mmengine.config import read_base

with read_base():
    from .._base_.datasets.shapes import *
    from .._base_.default_runtime import *
    from .._base_.models.mini_sd import *
    from .._base_.schedules.adamw import *

from mmengine.optim import LinearLR

from diffkit.engine.hooks import EMAHook
from diffkit.models import FullTuner, Reconstruction

model.update(
    pretrained="work_dirs/mini_sd_vae/step4999",
    tuners=dict(decoder=dict(type=FullTuner, component="vae", pattern=r"^(decoder|post_quant_conv)\.")),
    objective=dict(type=Reconstruction))
train_dataloader.update(batch_size=16)
train_dataloader.dataset.update(
    length=80000, seed=1, textured=0.5, photo_fraction=0.4, keep_in_memory=False)  # no picture comes twice
train_cfg.update(max_iters=5000)
optim_wrapper.update(dtype="bfloat16")
optim_wrapper.optimizer.update(lr=6e-4, betas=(0.9, 0.99), weight_decay=0.0)
param_scheduler = [
    dict(type=LinearLR, start_factor=0.02, begin=0, end=50, by_epoch=False),
    dict(type=LinearLR, start_factor=1.0, end_factor=0.02, begin=1500, end=5000, by_epoch=False)]
custom_hooks = [dict(type=EMAHook, decay=0.997)]
