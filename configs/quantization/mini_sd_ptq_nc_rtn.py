"""The packaged miniature, linear weights of 4 bits rounded to the nearest by neural-compressor (RTN)."""

from mmengine.config import read_base

with read_base():
    from .._base_.datasets.shapes import *
    from .._base_.default_runtime import *
    from .._base_.models.mini_sd import *
    from .._base_.quantizers.neural_compressor import *
    from .._base_.quantizers.post_training import *
    from .._base_.schedules.adamw import *

model.update(tuners=_untrained, quantizer=_quantizer)
train_cfg = _post_training
train_dataloader.update(batch_size=16)
train_dataloader.dataset.update(caption_dropout=0.1)
custom_hooks = _quantization_hooks
