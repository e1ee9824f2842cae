"""Stable Diffusion 1.5, linear weights of 4 bits by neural-compressor's GPTQ, on captioned pictures in data/laion."""

from mmengine.config import read_base

with read_base():
    from .._base_.datasets.text_image import *
    from .._base_.default_runtime import *
    from .._base_.models.stable_diffusion_v15 import *
    from .._base_.quantizers.neural_compressor import *
    from .._base_.quantizers.post_training import *
    from .._base_.schedules.adamw import *

from diffkit.engine.hooks import CalibrationHook, QuantizationHook

_quantizer.update(algorithm="gptq", rows=8)
model.update(
    tuners=_untrained,
    quantizer=_quantizer,
    frozen_dtype="float32")  # the saved model is compared bit for bit with what is read
train_cfg = _post_training
train_dataloader.dataset.update(data_root="data/laion", center_crop=True)
custom_hooks = [
    dict(type=CalibrationHook, num_prompts=16, batch_size=4),
    dict(type=QuantizationHook, predictions=64, pictures=8, batch_size=4)]
