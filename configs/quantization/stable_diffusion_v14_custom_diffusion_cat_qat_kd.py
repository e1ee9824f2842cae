"""The model that learned the cat in data/cat by Custom Diffusion at 8 bits: its float UNet teaches it."""

from mmengine.config import read_base

with read_base():
    from .._base_.datasets.custom_diffusion import *
    from .._base_.default_runtime import *
    from .._base_.distillers.qat_output import *
    from .._base_.models.stable_diffusion_v15 import *
    from .._base_.quantizers.qat_w8a8 import *
    from .._base_.schedules.adamw import *

from diffkit.engine.hooks import CalibrationHook, EMAHook, QuantizationHook
from diffkit.models import Denoising, FullTuner

model.update(
    pretrained="work_dirs/stable_diffusion_v14_custom_diffusion_cat/step249",
    tuners=dict(unet=dict(type=FullTuner, component="unet")),
    objective=dict(type=Denoising, loss_weight=0.0),
    distiller=_qat_distiller,
    quantizer=_quantizer,
    frozen_dtype="float32",  # the saved model is compared bit for bit with what is read
    gradient_checkpointing=True)
train_dataloader.dataset.update(size_augment=False)
train_cfg.update(max_iters=300)
optim_wrapper.optimizer.update(lr=1e-5)
custom_hooks = [
    dict(type=CalibrationHook, num_prompts=16, batch_size=4),
    dict(type=QuantizationHook, predictions=64, pictures=8, batch_size=4),
    dict(type=EMAHook)]
