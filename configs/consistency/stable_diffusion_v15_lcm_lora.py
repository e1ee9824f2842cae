"""Stable Diffusion 1.5 in 4 steps: consistency distillation with LoRA, on captioned pictures in data/text_image.

The layers, the rank, the range of the guidance and the learning rate are those of the program of LCM-LoRA in diffusers.
"""

from mmengine.config import read_base

with read_base():
    from .._base_.datasets.text_image import *
    from .._base_.default_runtime import *
    from .._base_.distillers.consistency import *
    from .._base_.models.stable_diffusion_v15 import *
    from .._base_.schedules.adamw import *

from diffkit.engine.hooks import SampleHook
from diffkit.models import LoRATuner

_distiller.update(guidance_scale=(5.0, 15.0), dtype="bfloat16")
model.update(
    tuners=dict(unet=dict(type=LoRATuner, component="unet", rank=64, target_modules=[
        "to_q", "to_k", "to_v", "to_out.0", "proj_in", "proj_out", "ff.net.0.proj", "ff.net.2", "conv1", "conv2",
        "conv_shortcut", "downsamplers.0.conv", "upsamplers.0.conv", "time_emb_proj"])),
    objective=_objective,
    distiller=_distiller,
    gradient_checkpointing=True,
    generation=dict(num_inference_steps=4, guidance_scale=1.0))
train_dataloader.update(batch_size=12)
train_cfg.update(max_iters=3000)
optim_wrapper.update(dtype="bfloat16")
optim_wrapper.optimizer.update(lr=1e-4, weight_decay=0.0)
custom_hooks = [dict(type=SampleHook, prompts=["a lighthouse by the sea"] * 4, interval=500)]
