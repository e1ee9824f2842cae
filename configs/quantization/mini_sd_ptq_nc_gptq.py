"""The packaged miniature, linear weights of 4 bits by neural-compressor's GPTQ, on what the layers see."""

from mmengine.config import read_base

with read_base():
    from .mini_sd_ptq_nc_rtn import *

model.quantizer.update(algorithm="gptq")
