"""segmind/tiny-sd: Stable Diffusion with 62.4 % fewer UNet weights (block-removed, distilled)."""

from diffkit.models import LatentDiffusion, StableDiffusion

model = dict(
    type=LatentDiffusion,
    family=dict(type=StableDiffusion),
    pretrained="segmind/tiny-sd",
    tuners=dict())
