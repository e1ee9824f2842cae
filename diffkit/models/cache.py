"""What frozen parts computed once: latent distributions by picture, text states by prompt; in memory or on disk."""

from collections.abc import Callable, Sequence

import torch
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from mmengine.logging import print_log
from torch import Tensor

from diffkit.models.disk_rows import DiskRows, tensor_key, text_key
from diffkit.models.families.base import Conditioning

Encode = Callable[[Tensor], DiagonalGaussianDistribution]


class LatentCache:
    """Keeps mean and log-variance of each picture's latents, so that every step still draws its own sample.

    A picture is known by the key that its dataset gives it; one without a key is encoded each time. What is kept
    does not depend on the batch in which a picture came first, so that a resumed training has the same latents.

    On disk a picture is known by the hash of its pixels as the VAE sees them: after every resize, crop and flip. So a
    file that was replaced, other transforms, or a new version of Pillow are other pictures.

    Args:
        disk: where the rows lie besides; None keeps them in memory alone.
    """

    def __init__(self, disk: DiskRows | None = None) -> None:
        self.disk = disk
        self._moments: dict[str, Tensor] = {}
        self._pixels: dict[str, str] = {}
        self._without_key = False

    def __len__(self) -> int:
        return len(self._moments) or len(self._pixels)

    def posterior(self, pixels: Tensor, keys: Sequence[str | None], encode: Encode) -> DiagonalGaussianDistribution:
        """The latent distribution of each picture; only pictures that are not in the cache are encoded.

        Args:
            pixels: [B, 3, H, W] in [-1, 1].
            keys: B keys.
            encode: maps pixels to their distribution.
        """
        known = {key: self._row(key, pixels[i:i + 1], encode) for i, key in enumerate(keys) if key is not None}
        without_key = [i for i, key in enumerate(keys) if key is None]
        fresh: dict[int, Tensor] = {}
        if without_key:
            self._say_without_key()
            fresh = dict(zip(without_key, encode(pixels[without_key]).parameters.float(), strict=True))
        rows = [fresh[i] if key is None else known[key] for i, key in enumerate(keys)]
        return DiagonalGaussianDistribution(torch.stack([row.to(pixels.device) for row in rows]))

    def _row(self, key: str, pixels: Tensor, encode: Encode) -> Tensor:
        """Mean and log-variance of one picture, encoded alone: the last bits depend on what is beside it."""
        if self.disk is None:
            if key not in self._moments:
                self._moments[key] = encode(pixels).parameters.float()[0].cpu()
            return self._moments[key]
        if key not in self._pixels:
            self._pixels[key] = tensor_key(pixels[0])
        return self.disk.row(self._pixels[key], compute_of(pixels.device),
                             lambda: {"moments": encode(pixels).parameters.float()[0]})["moments"]

    def _say_without_key(self) -> None:
        if not self._without_key:
            self._without_key = True
            print_log("latents of some pictures are not kept, and the VAE runs for them in each step: they have no "
                      "key, as they are cut out or changed at random, or their data set gives none", logger="current")


class TextCache:
    """Keeps the states of each distinct prompt.

    Args:
        disk: where they lie besides; None keeps them in memory alone.
    """

    def __init__(self, disk: DiskRows | None = None) -> None:
        self.disk = disk
        self._rows: dict[str, Conditioning] = {}

    def encode(self, prompts: Sequence[str], encode: Callable[[Sequence[str]], Conditioning],
               device: torch.device | None = None) -> Conditioning:
        """The states of ``prompts``; only prompts that are not in the cache are encoded.

        Args:
            prompts: B texts.
            encode: maps prompts to their states.
            device: where the states are wanted; needed for those on disk.
        """
        rows = {prompt: self._row(prompt, encode, device) for prompt in dict.fromkeys(prompts)}
        return Conditioning.stack([rows[prompt] for prompt in prompts])

    def _row(self, prompt: str, encode: Callable[[Sequence[str]], Conditioning],
             device: torch.device | None) -> Conditioning:
        """The states of one prompt, encoded alone: the last bits depend on what is beside it."""
        if self.disk is None:
            if prompt not in self._rows:
                self._rows[prompt] = encode([prompt]).rows()[0]
            return self._rows[prompt]
        device = device or torch.device("cpu")
        row = self.disk.row(text_key(prompt), compute_of(device), lambda: dict(encode([prompt]).rows()[0].tensors()))
        return Conditioning(**{name: value.to(device) for name, value in row.items()})


def compute_of(device: torch.device) -> str:
    """The kind of device, and the number format that autocast computes in here; the weights' own where it is off."""
    kind = device.type
    if not torch.is_autocast_enabled(kind):
        return kind
    return f"{kind}, {str(torch.get_autocast_dtype(kind)).removeprefix('torch.')} autocast"
