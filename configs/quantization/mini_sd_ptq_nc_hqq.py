"""The packaged miniature, linear weights of 4 bits in groups of 64 by neural-compressor's HQQ; kept as floats."""

from mmengine.config import read_base

with read_base():
    from .mini_sd_ptq_nc_rtn import *

model.quantizer.update(algorithm="hqq", options=dict(bits=4, group_size=64))
