"""The layout of SSD-1B: Stable Diffusion XL with 1.33 of 2.57 billion UNet weights, fewer transformer blocks."""

from mmengine.config import read_base

with read_base():
    from .stable_diffusion_xl_small import *

model.pruner.update(variant="ssd_1b")
model.distiller.objectives.loss_output.update(weight=0.5)  # as in diffengine's SSD1B
# diffengine adds its running sum to itself in each up layer: its first terms count 512 times. Here all count once.
model.distiller.objectives.loss_feature.update(weight=0.5, pairs="ssd_1b")
# segmind: 251,000 steps at lr 1e-5, batches of 32, 4 of them in a step. SDXL taught, then ZavyChromaXL, then
# JuggernautXL: go on from this one's step folder with model.pruner=None and model.distiller.teacher=<the next>.
train_cfg.update(max_iters=1004000)
train_dataloader.update(batch_size=32)
