"""mini-sd, fifth part: the UNet and the text encoder once more, on larger batches with more of the patterns."""

from mmengine.config import read_base

with read_base():
    from .mini_sd_unet import *

from mmengine.optim import LinearLR

model.update(pretrained="work_dirs/mini_sd_unet/step5999")
train_dataloader.update(batch_size=24)  # in each of two processes
train_dataloader.dataset.update(length=24000, textured=0.5)
train_cfg.update(max_iters=12000)
optim_wrapper.optimizer.update(lr=7e-4, fused=True)
param_scheduler = [
    dict(type=LinearLR, start_factor=0.02, begin=0, end=100, by_epoch=False),
    dict(type=LinearLR, start_factor=1.0, end_factor=0.02, begin=3000, end=12000, by_epoch=False)]
custom_hooks[0].update(decay=0.9985)
custom_hooks[1].update(interval=2000)
