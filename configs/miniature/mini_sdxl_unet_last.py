"""mini-sdxl, second part: the same networks once more, on other drawings and smaller steps."""

from mmengine.config import read_base

with read_base():
    from .mini_sdxl_unet import *

from mmengine.optim import LinearLR

model.family.update(scratch=None, grown_from=None)
model.update(pretrained="work_dirs/mini_sdxl_unet/step1499")
train_dataloader.dataset.update(seed=3)
train_cfg.update(max_iters=500)
optim_wrapper.optimizer.update(lr=2.5e-4)
param_scheduler = [
    dict(type=LinearLR, start_factor=0.02, begin=0, end=30, by_epoch=False),
    dict(type=LinearLR, start_factor=1.0, end_factor=0.02, begin=100, end=500, by_epoch=False)]
randomness.update(seed=1)
