"""Kinds of pipelines."""

from diffkit.models.families.base import Conditioning, Family
from diffkit.models.families.sd import StableDiffusion
from diffkit.models.families.sdxl import StableDiffusionXL

__all__ = ["Conditioning", "Family", "StableDiffusion", "StableDiffusionXL"]
