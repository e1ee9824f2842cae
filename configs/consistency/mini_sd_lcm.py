"""The packaged miniature in 4 steps: consistency distillation of all UNet weights, on a CPU, without a download."""

from mmengine.config import read_base

with read_base():
    from .._base_.datasets.shapes import *
    from .._base_.datasets.shapes_prompts import *
    from .._base_.default_runtime import *
    from .._base_.distillers.consistency import *
    from .._base_.models.mini_sd import *
    from .._base_.schedules.adamw import *

from mmengine.optim import LinearLR

from diffkit.engine.hooks import SampleHook
from diffkit.models import FullTuner

# ten steps of the teacher from noise to picture, not fifty: the training is short; without the average it goes astray
_distiller.update(skip=100, guidance_scale=3.0, target_decay=0.95)
model.update(
    tuners=dict(unet=dict(type=FullTuner, component="unet")),
    objective=_objective,
    distiller=_distiller,
    generation=dict(num_inference_steps=4, guidance_scale=1.0))
train_dataloader.update(batch_size=16)
train_dataloader.dataset.update(length=2000)
train_cfg.update(max_iters=200)
optim_wrapper.optimizer.update(lr=2e-4, weight_decay=0.0)
param_scheduler = [
    dict(type=LinearLR, start_factor=0.1, begin=0, end=10, by_epoch=False),
    dict(type=LinearLR, start_factor=1.0, end_factor=0.05, begin=100, end=200, by_epoch=False)]
custom_hooks = [dict(type=SampleHook, interval=100, prompts=[
    "a photo of a large red circle on a blue background", "a small white star at the top left",
    "a red and white striped heart on a grey background", "a green and yellow checked square"])]
