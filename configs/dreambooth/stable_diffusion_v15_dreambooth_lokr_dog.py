"""DreamBooth with LoKr on Stable Diffusion 1.5: a dog from a handful of photographs in data/dog."""

from mmengine.config import read_base

with read_base():
    from .stable_diffusion_v15_dreambooth_lora_dog import *

model.tuners.unet.update(kind="lokr", rank=16, options=dict(decompose_factor=8))
optim_wrapper.optimizer.update(lr=3e-4)  # its matrices are small and each stands in many places of a weight
