"""segmind/small-sd at 8 bits, on 20,000 captioned pictures in data/laion: its float UNet teaches its output."""

from mmengine.config import read_base

with read_base():
    from .stable_diffusion_v15_qat_kd_laion import *

from diffkit.models import Denoising

model.update(pretrained="segmind/small-sd", objective=dict(type=Denoising, loss_weight=0.0))
