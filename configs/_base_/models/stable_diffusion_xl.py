"""Stable Diffusion XL base 1.0; sampled and trained at 1024 px."""

from diffkit.models import LatentDiffusion, StableDiffusionXL

model = dict(
    type=LatentDiffusion,
    family=dict(type=StableDiffusionXL),
    pretrained="stabilityai/stable-diffusion-xl-base-1.0",
    tuners=dict(),
    generation=dict(guidance_scale=5.0))
