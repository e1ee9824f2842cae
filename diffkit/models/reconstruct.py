"""Pictures through a VAE and back."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor


def to_pixels(pictures: Iterable[np.ndarray]) -> Tensor:
    """uint8 pictures [H, W, 3] of one size as float32 [B, 3, H, W] in [-1, 1]."""
    stacked = np.stack(list(pictures)).transpose(0, 3, 1, 2)
    return torch.from_numpy(stacked.astype(np.float32) / 127.5 - 1)


def to_pictures(pixels: Tensor) -> list[np.ndarray]:
    """The inverse of :func:`to_pixels`; what lies outside [-1, 1] is cut."""
    levels = ((pixels.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return list(levels.permute(0, 2, 3, 1).cpu().numpy())


def reconstruct(vae: Any, pixels: Tensor) -> list[np.ndarray]:
    """Encodes pictures to the mean of their latents, and decodes those.

    Args:
        vae: an ``AutoencoderKL`` of diffusers, in evaluation mode.
        pixels: float [B, 3, H, W] in [-1, 1].

    Returns:
        uint8 pictures [H, W, 3].
    """
    with torch.no_grad():
        latents = vae.encode(pixels.to(vae.device, vae.dtype)).latent_dist.mean
        return to_pictures(vae.decode(latents).sample)
