"""segmind/small-sd: Stable Diffusion with 32.6 % fewer UNet weights (block-removed, distilled)."""

from diffkit.models import LatentDiffusion, StableDiffusion

model = dict(
    type=LatentDiffusion,
    family=dict(type=StableDiffusion),
    pretrained="segmind/small-sd",
    tuners=dict())
