"""What frozen parts computed once: latent distributions by picture, text states by prompt."""

from collections.abc import Callable, Sequence

import torch
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from torch import Tensor

from diffkit.models.families.base import Conditioning

Encode = Callable[[Tensor], DiagonalGaussianDistribution]


class LatentCache:
    """Keeps mean and log-variance of each picture's latents, so that every step still draws its own sample.

    A picture is known by the key that its dataset gives it; one without a key is encoded each time.
    """

    def __init__(self) -> None:
        self._moments: dict[str, Tensor] = {}

    def __len__(self) -> int:
        return len(self._moments)

    def posterior(self, pixels: Tensor, keys: Sequence[str | None], encode: Encode) -> DiagonalGaussianDistribution:
        """The latent distribution of each picture; only pictures that are not in the cache are encoded.

        Args:
            pixels: [B, 3, H, W] in [-1, 1].
            keys: B keys.
            encode: maps pixels to their distribution.
        """
        missing = [i for i, key in enumerate(keys) if key is None or key not in self._moments]
        fresh: dict[int, Tensor] = {}
        if missing:
            moments = encode(pixels[missing]).parameters.float()
            fresh = dict(zip(missing, moments, strict=True))
            self._moments.update({key: fresh[i].cpu() for i in missing if (key := keys[i]) is not None})
        rows = [fresh[i] if i in fresh else self._moments[str(key)] for i, key in enumerate(keys)]
        return DiagonalGaussianDistribution(torch.stack([row.to(pixels.device) for row in rows]))


class TextCache:
    """Keeps the states of each distinct prompt."""

    def __init__(self) -> None:
        self._rows: dict[str, Conditioning] = {}

    def encode(self, prompts: Sequence[str], encode: Callable[[Sequence[str]], Conditioning]) -> Conditioning:
        """The states of ``prompts``; only prompts that are not in the cache are encoded."""
        missing = [prompt for prompt in dict.fromkeys(prompts) if prompt not in self._rows]
        if missing:
            self._rows.update(zip(missing, encode(missing).rows(), strict=True))
        return Conditioning.stack([self._rows[prompt] for prompt in prompts])
