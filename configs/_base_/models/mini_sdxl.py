"""The second packaged miniature: Stable Diffusion XL at 64 px, trained on the shapes world."""

from diffkit.models import LatentDiffusion, StableDiffusionXL

model = dict(
    type=LatentDiffusion,
    family=dict(type=StableDiffusionXL),
    pretrained="mini-sdxl",
    tuners=dict(),
    generation=dict(num_inference_steps=25, guidance_scale=4.0))
