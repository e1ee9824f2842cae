"""As stable_diffusion_xl_small, for several GPUs of which none holds it all: weights are sharded (FSDP2)."""

from mmengine.config import read_base

with read_base():
    from .stable_diffusion_xl_small import *

from diffkit.engine import ShardedDataParallel

model_wrapper_cfg = dict(type=ShardedDataParallel, dtype="bfloat16")
