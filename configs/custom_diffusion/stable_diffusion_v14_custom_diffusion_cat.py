"""Custom Diffusion on Stable Diffusion 1.4: a cat from data/cat, beside 200 real photographs of cats."""

from mmengine.config import read_base

with read_base():
    from .._base_.datasets.custom_diffusion import *
    from .._base_.default_runtime import *
    from .._base_.models.stable_diffusion_v15 import *
    from .._base_.schedules.adamw import *

from diffkit.engine.hooks import SampleHook, StatisticsHook
from diffkit.models import CrossAttentionTuner, TextualInversion

model.update(
    pretrained="CompVis/stable-diffusion-v1-4",
    tuners=dict(
        word=dict(type=TextualInversion, placeholder_token="<new1>", initializer_token="ktn"),
        attention=dict(type=CrossAttentionTuner)),
    prior_loss_weight=0.25)  # the references' 1.0: their loss of an instance is four times its mean
train_cfg.update(max_iters=250)  # with one process 500; the references count 250 on two
optim_wrapper.update(dtype="bfloat16")
optim_wrapper.optimizer.update(lr=1e-5)
scale_lr = "with_prior"  # times the batch of 2, and 2 for the prior picture beside each: 4e-5
default_hooks.checkpoint.update(interval=250)
custom_hooks = [
    dict(type=StatisticsHook),
    dict(type=SampleHook, prompts=["<new1> cat sitting in a bucket"] * 2, interval=50)]
