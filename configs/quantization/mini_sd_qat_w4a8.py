"""The packaged miniature with weights of 4 bits, the ends of 8: its own float UNet teaches it by its output alone."""

from mmengine.config import read_base

with read_base():
    from .._base_.datasets.shapes import *
    from .._base_.default_runtime import *
    from .._base_.distillers.qat_output import *
    from .._base_.models.mini_sd import *
    from .._base_.quantizers.float_inputs import *
    from .._base_.quantizers.qat_w4a8 import *
    from .._base_.schedules.adamw import *

from mmengine.optim import LinearLR

from diffkit.engine.hooks import EMAHook
from diffkit.models import Denoising, FullTuner

_quantizer.rules.update({**_float_inputs, **_wide_sums})
model.update(
    tuners=dict(unet=dict(type=FullTuner, component="unet")),
    objective=dict(type=Denoising, loss_weight=0.0),
    distiller=_qat_distiller,
    quantizer=_quantizer)
train_dataloader.update(batch_size=16)
train_dataloader.dataset.update(caption_dropout=0.1)
train_cfg.update(max_iters=300)
optim_wrapper.optimizer.update(lr=1e-4, betas=(0.9, 0.99), weight_decay=0.0)
param_scheduler = [
    dict(type=LinearLR, start_factor=0.05, by_epoch=False, begin=0, end=20),
    dict(type=LinearLR, start_factor=1.0, end_factor=0.0, by_epoch=False, begin=150, end=300)]
custom_hooks = [*_quantization_hooks, dict(type=EMAHook, decay=0.99)]
