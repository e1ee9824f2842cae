"""What frozen parts computed once: latent distributions by picture, text states by prompt."""

from collections.abc import Callable, Sequence

import torch
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from torch import Tensor

from diffkit.models.families.base import Conditioning

Encode = Callable[[Tensor], DiagonalGaussianDistribution]


class LatentCache:
    """Keeps mean and log-variance of each picture's latents, so that every step still draws its own sample.

    A picture is known by the key that its dataset gives it; one without a key is encoded each time. What is kept
    does not depend on the batch in which a picture came first, so that a resumed training has the same latents.
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
        for i, key in enumerate(keys):
            if key is not None and key not in self._moments:  # alone: the last bits depend on what is beside it
                self._moments[key] = encode(pixels[i:i + 1]).parameters.float()[0].cpu()
        without_key = [i for i, key in enumerate(keys) if key is None]
        fresh: dict[int, Tensor] = {}
        if without_key:
            fresh = dict(zip(without_key, encode(pixels[without_key]).parameters.float(), strict=True))
        rows = [fresh[i] if key is None else self._moments[key] for i, key in enumerate(keys)]
        return DiagonalGaussianDistribution(torch.stack([row.to(pixels.device) for row in rows]))


class TextCache:
    """Keeps the states of each distinct prompt."""

    def __init__(self) -> None:
        self._rows: dict[str, Conditioning] = {}

    def encode(self, prompts: Sequence[str], encode: Callable[[Sequence[str]], Conditioning]) -> Conditioning:
        """The states of ``prompts``; only prompts that are not in the cache are encoded."""
        for prompt in dict.fromkeys(prompts):
            if prompt not in self._rows:  # alone: the last bits depend on what is beside it
                self._rows[prompt] = encode([prompt]).rows()[0]
        return Conditioning.stack([self._rows[prompt] for prompt in prompts])
