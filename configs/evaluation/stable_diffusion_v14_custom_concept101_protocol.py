"""The protocol of CustomConcept101 for one concept: 20 prompts, 50 pictures of each; CLIPScore, CLIP-I and DINO-I."""

from mmengine.config import read_base

with read_base():
    from .._base_.default_runtime import *
    from .._base_.models.stable_diffusion_v15 import *

from mmengine.dataset import DefaultSampler

from diffkit.datasets import CustomConceptPrompts, collate_samples
from diffkit.engine import PictureLoop
from diffkit.evaluation import CLIPImageSimilarity, CLIPTextSimilarity, DINOImageSimilarity
from diffkit.models import FullTuner

# nothing is trained; model.pretrained is the step folder to measure, and a tuner has to be there
model.update(
    pretrained="CompVis/stable-diffusion-v1-4",
    tuners=dict(unet=dict(type=FullTuner, component="unet", pattern=r"^conv_out\.bias$")),
    generation=dict(num_inference_steps=200, guidance_scale=6.0, sampler="ddpm"))
test_dataloader = dict(
    batch_size=8,
    num_workers=0,
    dataset=dict(
        type=CustomConceptPrompts, root="data/custom-diffusion/customconcept101", subjects=["pet_dog1"], images_num=50),
    sampler=dict(type=DefaultSampler, shuffle=False),
    collate_fn=dict(type=collate_samples))
test_cfg = dict(type=PictureLoop)
test_evaluator = [
    dict(type=CLIPTextSimilarity, field="caption"),
    dict(type=CLIPImageSimilarity, references="data/benchmark_dataset"),
    dict(type=DINOImageSimilarity, references="data/benchmark_dataset")]
