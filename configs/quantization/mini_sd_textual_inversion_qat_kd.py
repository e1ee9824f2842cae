"""The miniature that mini_sd_textual_inversion taught a word, at 8 bits: 47 layers of its float UNet teach it."""

from mmengine.config import read_base

with read_base():
    from .._base_.datasets.concept_prompts import *
    from .._base_.datasets.learned_word import *
    from .._base_.default_runtime import *
    from .._base_.distillers.qat_47_layers import *
    from .._base_.models.mini_sd import *
    from .._base_.quantizers.float_inputs import *
    from .._base_.quantizers.qat_w8a8 import *
    from .._base_.schedules.adamw import *

from diffkit.engine.hooks import EMAHook
from diffkit.models import Denoising, FullTuner

_quantizer.rules.update(_float_inputs)
model.update(
    pretrained="work_dirs/mini_sd_textual_inversion/step299",
    tuners=dict(unet=dict(type=FullTuner, component="unet")),
    objective=dict(type=Denoising, loss_weight=0.0),
    distiller=_qat_distiller,
    quantizer=_quantizer)
train_dataloader.update(batch_size=8, num_workers=0, persistent_workers=False)
train_dataloader.dataset.update(
    data_root="shapes:cyan_triangle", placeholder="<thing>", learnable_property=None, captions="none",
    instance_prompt=["a photo of a {}", "a picture of a {}", "an image of a {}"], resolution=64, hflip=0.0)
train_cfg.update(max_iters=300)
optim_wrapper.update(clip_grad=dict(max_norm=3.0))
optim_wrapper.optimizer.update(lr=1e-5, weight_decay=0.0)
custom_hooks = [*_quantization_hooks, dict(type=EMAHook, decay=0.99)]
test_dataloader.dataset.update(concept="cyan_triangle", subject="<thing>")
test_evaluator.update(concept="cyan_triangle")
