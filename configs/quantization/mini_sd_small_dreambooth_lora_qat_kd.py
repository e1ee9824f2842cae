"""The end of the chain: the student that mini_sd_small_dreambooth_lora taught a striped heart, at 8 bits."""

from mmengine.config import read_base

with read_base():
    from .._base_.datasets.concept_prompts import *
    from .._base_.datasets.dreambooth import *
    from .._base_.datasets.shapes_prior import *
    from .._base_.default_runtime import *
    from .._base_.distillers.qat_output import *
    from .._base_.models.mini_sd import *
    from .._base_.quantizers.float_inputs import *
    from .._base_.quantizers.qat_w8a8 import *
    from .._base_.schedules.adamw import *

from diffkit.engine.hooks import EMAHook, PriorImagesHook
from diffkit.models import Denoising, FullTuner

_quantizer.rules.update(_float_inputs)
model.update(
    pretrained="work_dirs/mini_sd_small_dreambooth_lora/step299",
    tuners=dict(unet=dict(type=FullTuner, component="unet")),
    objective=dict(type=Denoising, loss_weight=0.0),
    distiller=_qat_distiller,
    quantizer=_quantizer)
train_dataloader.update(batch_size=8, num_workers=0, persistent_workers=False)
train_dataloader.dataset.update(
    data_root="shapes:striped_heart", instance_prompt="a photo of a {} heart", placeholder="sks", resolution=64,
    hflip=0.0, class_prompt=_prior_prompts, num_class_images=64, prior_caption_dropout=0.15)
train_cfg.update(max_iters=300)
optim_wrapper.optimizer.update(lr=1e-5, betas=(0.9, 0.99), weight_decay=0.0)
custom_hooks = [
    dict(type=PriorImagesHook, batch_size=32, guidance_scale=3.0), *_quantization_hooks,
    dict(type=EMAHook, decay=0.99)]
