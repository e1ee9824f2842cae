"""mini-sd, third part: the decoder a last time, on small steps and more drawings; small stars are what it blurs."""

from mmengine.config import read_base

with read_base():
    from .mini_sd_decoder import *

from mmengine.optim import LinearLR

model.update(pretrained="work_dirs/mini_sd_decoder/step4999")
train_dataloader.dataset.update(seed=2, textured=0.4, photo_fraction=0.25)
train_cfg.update(max_iters=3000)
optim_wrapper.optimizer.update(lr=3e-4)
param_scheduler = [
    dict(type=LinearLR, start_factor=0.02, begin=0, end=50, by_epoch=False),
    dict(type=LinearLR, start_factor=1.0, end_factor=0.02, begin=500, end=3000, by_epoch=False)]
custom_hooks[0].update(decay=0.998)
