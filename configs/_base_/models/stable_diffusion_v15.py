"""Stable Diffusion 1.5. On a GPU the frozen weights are bfloat16; trained weights are always float32."""

from diffkit.models import LatentDiffusion, StableDiffusion

model = dict(
    type=LatentDiffusion,
    family=dict(type=StableDiffusion),
    pretrained="stable-diffusion-v1-5/stable-diffusion-v1-5",
    tuners=dict())
