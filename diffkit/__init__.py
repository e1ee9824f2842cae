"""diffkit: personalise and compress text-to-image diffusion models, experiment by experiment, from configs.

Importing the package loads nothing heavy: its parts import torch and diffusers when they are used.
"""

from diffkit.version import __version__

__all__ = ["__version__"]
