"""The packaged miniature: Stable Diffusion at 64 px, trained on the shapes world."""

from diffkit.models import LatentDiffusion, StableDiffusion

model = dict(
    type=LatentDiffusion,
    family=dict(type=StableDiffusion),
    pretrained="mini-sd",
    tuners=dict(),
    generation=dict(num_inference_steps=25, guidance_scale=4.0))
