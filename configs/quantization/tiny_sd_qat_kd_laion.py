"""segmind/tiny-sd at 8 bits, on 20,000 captioned pictures in data/laion: its float UNet teaches its output."""

from mmengine.config import read_base

with read_base():
    from .small_sd_qat_kd_laion import *

model.update(pretrained="segmind/tiny-sd")
