"""The end of the chain: the student that mini_sd_small_dreambooth_lora taught a striped heart, at 8 bits."""

from mmengine.config import read_base

with read_base():
    from .mini_sd_custom_diffusion_qat_kd import *

model.update(pretrained="work_dirs/mini_sd_small_dreambooth_lora/step299")
train_dataloader.dataset.update(placeholder="sks")
test_dataloader.dataset.update(subject="sks heart")
