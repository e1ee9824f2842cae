"""Stable Diffusion XL at 8 bits, on captioned pictures in data/laion at 1024 px: its float UNet teaches its output."""

from mmengine.config import read_base

with read_base():
    from .._base_.datasets.text_image import *
    from .._base_.default_runtime import *
    from .._base_.distillers.qat_output import *
    from .._base_.models.stable_diffusion_xl import *
    from .._base_.quantizers.qat_w8a8 import *
    from .._base_.schedules.adamw import *

from diffkit.engine.hooks import CalibrationHook, EMAHook, QuantizationHook
from diffkit.models import Denoising, FullTuner

_qat_distiller.update(dtype="bfloat16")  # the teacher takes 5 GB instead of 10
model.update(
    tuners=dict(unet=dict(type=FullTuner, component="unet")),
    objective=dict(type=Denoising, loss_weight=0.0),
    distiller=_qat_distiller,
    quantizer=_quantizer,
    frozen_dtype="float32",  # the saved model is compared bit for bit with what is read
    gradient_checkpointing=True)
train_dataloader.update(batch_size=1)
train_dataloader.dataset.update(data_root="data/laion", center_crop=True, resolution=1024)
train_cfg.update(max_iters=1200)  # 300 steps of the optimizer
optim_wrapper.update(accumulative_counts=4)
optim_wrapper.optimizer.update(lr=1e-5)
custom_hooks = [
    dict(type=CalibrationHook, num_prompts=16, batch_size=2),
    dict(type=QuantizationHook, predictions=32, pictures=4, batch_size=2),
    dict(type=EMAHook)]
