"""mini-sd on 64 prompts of the shapes world, with pictures that are kept: a test that was broken off goes on."""

from mmengine.config import read_base

with read_base():
    from .._base_.default_runtime import *
    from .._base_.models.mini_sd import *

from mmengine.dataset import DefaultSampler

from diffkit.datasets import ShapesPrompts, collate_samples
from diffkit.engine import PictureLoop
from diffkit.evaluation import PromptAccuracy
from diffkit.models import FullTuner

# nothing is trained; model.pretrained is the step folder to measure, and a tuner has to be there
model.update(tuners=dict(unet=dict(type=FullTuner, component="unet", pattern=r"^conv_out\.bias$")))
test_dataloader = dict(
    batch_size=16,
    num_workers=0,
    dataset=dict(type=ShapesPrompts, n=64),
    sampler=dict(type=DefaultSampler, shuffle=False),
    collate_fn=dict(type=collate_samples))
test_cfg = dict(type=PictureLoop)
test_evaluator = dict(type=PromptAccuracy)
