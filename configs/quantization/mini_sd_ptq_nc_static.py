"""The packaged miniature at 8 bits by neural-compressor's static quantisation of the exported UNet (PT2E)."""

from mmengine.config import read_base

with read_base():
    from .mini_sd_ptq_nc_rtn import *

from diffkit.models import NeuralCompressorQuantizer

model.quantizer = dict(type=NeuralCompressorQuantizer, algorithm="static")
