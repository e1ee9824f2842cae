"""The model that learned Dicoo at 8 bits: 47 layers of its float UNet teach it, on the one picture in data/dicoo."""

from mmengine.config import read_base

with read_base():
    from .._base_.datasets.learned_word import *
    from .._base_.default_runtime import *
    from .._base_.distillers.qat_47_layers import *
    from .._base_.models.stable_diffusion_v15 import *
    from .._base_.quantizers.qat_w8a8 import *
    from .._base_.schedules.adamw import *

from diffkit.engine.hooks import CalibrationHook, EMAHook, QuantizationHook
from diffkit.models import FullTuner

model.update(
    pretrained="work_dirs/stable_diffusion_v14_textual_inversion_dicoo/step2999",
    tuners=dict(unet=dict(type=FullTuner, component="unet")),
    distiller=_qat_distiller,
    quantizer=_quantizer,
    frozen_dtype="float32",  # the saved model is compared bit for bit with what is read
    gradient_checkpointing=True)
train_dataloader.update(batch_size=1)
train_dataloader.dataset.update(data_root="data/dicoo", placeholder="<dicoo>")
train_cfg.update(max_iters=1200)  # 300 steps of the optimizer
optim_wrapper.update(accumulative_counts=4, clip_grad=dict(max_norm=3.0))
optim_wrapper.optimizer.update(lr=5e-4)
custom_hooks = [
    dict(type=CalibrationHook, num_prompts=16, batch_size=4),
    dict(type=QuantizationHook, predictions=64, pictures=8, batch_size=4),
    dict(type=EMAHook)]
