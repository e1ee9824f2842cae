"""The protocol of DreamBooth: 25 prompts for each subject, 4 pictures of each; CLIP-T, CLIP-I and DINO-I."""

from mmengine.config import read_base

with read_base():
    from .._base_.default_runtime import *
    from .._base_.models.stable_diffusion_v15 import *

from mmengine.dataset import DefaultSampler

from diffkit.datasets import DreamBoothPrompts, collate_samples
from diffkit.engine import PictureLoop
from diffkit.evaluation import CLIPImageSimilarity, CLIPTextSimilarity, DINOImageSimilarity
from diffkit.models import FullTuner

# nothing is trained; model.pretrained is the step folder to measure, and a tuner has to be there
model.update(tuners=dict(unet=dict(type=FullTuner, component="unet", pattern=r"^conv_out\.bias$")))
test_dataloader = dict(
    batch_size=8,
    num_workers=0,
    dataset=dict(type=DreamBoothPrompts, file="data/dreambooth/dataset/prompts_and_classes.txt", subjects=["dog6"]),
    sampler=dict(type=DefaultSampler, shuffle=False),
    collate_fn=dict(type=collate_samples))
test_cfg = dict(type=PictureLoop)
test_evaluator = [
    dict(type=CLIPTextSimilarity, field="caption"),
    dict(type=CLIPImageSimilarity, references="data/dreambooth/dataset"),
    dict(type=DINOImageSimilarity, references="data/dreambooth/dataset")]
