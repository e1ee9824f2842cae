"""mini-sd, sixth part: UNet and text encoder a last time, on other drawings; patterns are what was learned least."""

from mmengine.config import read_base

with read_base():
    from .mini_sd_unet_longer import *

from mmengine.optim import LinearLR

model.update(pretrained="work_dirs/mini_sd_unet_longer/step11999")
train_dataloader.dataset.update(textured=0.6)
train_cfg.update(max_iters=7000)
optim_wrapper.optimizer.update(lr=6e-4)
param_scheduler = [
    dict(type=LinearLR, start_factor=0.02, begin=0, end=100, by_epoch=False),
    dict(type=LinearLR, start_factor=1.0, end_factor=0.02, begin=2000, end=7000, by_epoch=False)]
custom_hooks[0].update(decay=0.999)
randomness.update(seed=1)
