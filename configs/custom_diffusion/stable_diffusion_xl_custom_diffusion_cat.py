"""Custom Diffusion on Stable Diffusion XL at 1024 px: a cat from data/cat, beside 200 real photographs of cats."""

from mmengine.config import read_base

with read_base():
    from .._base_.datasets.custom_diffusion import *
    from .._base_.default_runtime import *
    from .._base_.models.stable_diffusion_xl import *
    from .._base_.schedules.adamw import *

from diffkit.engine.hooks import SampleHook, StatisticsHook
from diffkit.models import CrossAttentionTuner, TextualInversion

model.update(
    tuners=dict(
        word=dict(type=TextualInversion, placeholder_token="<new1>", initializer_token="ktn"),
        attention=dict(type=CrossAttentionTuner)),
    prior_loss_weight=0.25,  # the references' 1.0: their loss of an instance is four times its mean
    gradient_checkpointing=True)
train_dataloader.update(batch_size=1)
train_dataloader.dataset.update(resolution=1024)
train_cfg.update(max_iters=500)
optim_wrapper.update(dtype="bfloat16", accumulative_counts=2)
optim_wrapper.optimizer.update(lr=1e-5)
scale_lr = "with_prior"
default_hooks.checkpoint.update(interval=250)
custom_hooks = [
    dict(type=StatisticsHook),
    dict(type=SampleHook, prompts=["<new1> cat sitting in a bucket"] * 2, interval=100, batch_size=1)]
