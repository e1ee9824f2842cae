"""Kinds of noise that a training step can add to latents.

A noise object is called for the noise that the model has to find, and its ``perturb`` gives what is added to
the latents instead: the same, unless the kind says otherwise.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from diffkit.registry import NOISES


def _randn(shape: tuple[int, ...], like: Tensor, generator: torch.Generator | None) -> Tensor:
    """Normal noise in the dtype and on the device of ``like``, drawn on the generator's device."""
    device = like.device if generator is None else generator.device
    return torch.randn(shape, generator=generator, device=device).to(like)


@NOISES.register_module()
class WhiteNoise:
    """Independent standard normal values."""

    def __call__(self, latents: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Returns noise like ``latents`` [B, C, H, W]."""
        return _randn(tuple(latents.shape), latents, generator)

    def perturb(self, noise: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Returns what is added to the latents where ``noise`` [B, C, H, W] is what the model has to find."""
        return noise


@NOISES.register_module()
class OffsetNoise(WhiteNoise):
    """White noise plus one normal value for each sample and channel, so the mean brightness is learned too.

    Its variance is ``1 + strength**2``, as in the scripts that introduced it (N. Guttenberg, 2023).

    Args:
        strength: the standard deviation of the offset, 0 or more; 0.05 to 0.1 is usual.
    """

    def __init__(self, strength: float = 0.05) -> None:
        self.strength = _not_negative("strength", strength)

    def __call__(self, latents: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Returns noise like ``latents`` [B, C, H, W]."""
        noise = super().__call__(latents, generator)
        return noise + self.strength * _randn((*latents.shape[:2], 1, 1), latents, generator)


@NOISES.register_module()
class PyramidNoise(WhiteNoise):
    """A sum of noise at falling resolutions, each level ``discount`` times as strong as the one before.

    Level ``i`` is drawn at ``1 / ratio**i`` of the size and enlarged bilinearly. The sum is divided by its
    exact standard deviation (the mean over the picture), so the variance is 1, and no sample depends on its
    batch.

    Args:
        discount: strength of a level relative to the one before, in [0, 1].
        levels: at most so many levels, 1 or more; they end early at the size of one pixel.
        random_ratio: draw ``ratio`` from [2, 4) at each call; otherwise it is 2.
    """

    def __init__(self, discount: float = 0.9, levels: int = 16, random_ratio: bool = True) -> None:
        if not 0 <= discount <= 1:
            raise ValueError(f"discount must be in [0, 1], not {discount!r}")
        if levels < 1:
            raise ValueError(f"levels must be 1 or more, not {levels!r}")
        self.discount, self.levels, self.random_ratio = float(discount), int(levels), bool(random_ratio)

    def __call__(self, latents: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Returns noise like ``latents`` [B, C, H, W]."""
        height, width = latents.shape[-2:]
        noise, variance = super().__call__(latents, generator), 1.0
        for level, (h, w) in enumerate(self._sizes(height, width, generator), start=1):
            small = _randn((*latents.shape[:2], h, w), latents, generator)
            scale = self.discount**level
            noise = noise + scale * F.interpolate(small, size=(height, width), mode="bilinear")
            variance += scale**2 * _enlarged_variance(h, height) * _enlarged_variance(w, width)
        return noise / variance**0.5

    def _sizes(self, height: int, width: int, generator: torch.Generator | None) -> list[tuple[int, int]]:
        """Sizes of the levels below the first."""
        device = None if generator is None else generator.device
        ratio = 2.0
        if self.random_ratio:
            ratio += 2 * torch.rand((), generator=generator, device=device).item()
        sizes = []
        for level in range(1, self.levels):
            h, w = (max(1, int(side / ratio**level)) for side in (height, width))
            sizes.append((h, w))
            if h == w == 1:
                break
        return sizes


@NOISES.register_module()
class InputPerturbation(WhiteNoise):
    """Adds more noise to the latents than the model is asked to find (Ning et al. 2023, arXiv 2301.11706).

    Args:
        strength: standard deviation of the additional noise, 0 or more; the paper advises 0.1.
        noise: the noise to find, as an object or a config; None is white noise.
    """

    def __init__(self, strength: float = 0.1, noise: "WhiteNoise | dict | None" = None) -> None:
        self.strength = _not_negative("strength", strength)
        self.noise = NOISES.build(noise) if isinstance(noise, dict) else noise or WhiteNoise()

    def __call__(self, latents: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Returns noise like ``latents`` [B, C, H, W]."""
        return self.noise(latents, generator)

    def perturb(self, noise: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Returns ``noise`` [B, C, H, W] with the additional noise."""
        noise = self.noise.perturb(noise, generator)
        return noise + self.strength * _randn(tuple(noise.shape), noise, generator)


def _enlarged_variance(small: int, large: int) -> float:
    """Mean variance of unit white noise after linear interpolation of one axis from small to large."""
    weights = F.interpolate(torch.eye(small)[None], size=large, mode="linear")[0]  # [small, large]
    return weights.square().sum(0).mean().item()


def _not_negative(name: str, value: float) -> float:
    if not value >= 0:
        raise ValueError(f"{name} must be 0 or more, not {value!r}")
    return float(value)
