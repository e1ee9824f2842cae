"""What a model is taught by its own data."""

from diffkit.models.objectives.base import Objective
from diffkit.models.objectives.denoising import Denoising
from diffkit.models.objectives.reconstruction import Reconstruction

__all__ = ["Denoising", "Objective", "Reconstruction"]
