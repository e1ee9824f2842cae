"""The few image transforms that training scripts take from ``torchvision.transforms``, on PIL pictures.

Written for the benchmarks, after the documentation of the names and arguments alone. Random choices are made with
torch's generator.
"""

from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor


class InterpolationMode(Enum):
    """How a picture is resized."""

    NEAREST = "nearest"
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"
    BOX = "box"
    HAMMING = "hamming"
    LANCZOS = "lanczos"

    @property
    def resampling(self) -> Image.Resampling:
        """PIL's name for it."""
        return Image.Resampling[self.name]


class Compose:
    """One after the other."""

    def __init__(self, transforms: Sequence[Callable[[Any], Any]]) -> None:
        self.transforms = list(transforms)

    def __call__(self, picture: Any) -> Any:
        for transform in self.transforms:
            picture = transform(picture)
        return picture


class Lambda:
    """Any function."""

    def __init__(self, lambd: Callable[[Any], Any]) -> None:
        self.lambd = lambd

    def __call__(self, picture: Any) -> Any:
        return self.lambd(picture)


class Resize:
    """Scales so that the shorter side is ``size`` pixels, or to ``size`` = (height, width)."""

    def __init__(self, size: int | Sequence[int],
                 interpolation: InterpolationMode = InterpolationMode.BILINEAR) -> None:
        self.size, self.interpolation = size, interpolation

    def __call__(self, picture: Image.Image) -> Image.Image:
        if isinstance(self.size, int):
            least = min(picture.size)
            width, height = (max(1, round(side * self.size / least)) for side in picture.size)
        else:
            height, width = self.size
        same = (width, height) == picture.size
        return picture if same else picture.resize((width, height), self.interpolation.resampling)


class CenterCrop:
    """Cuts a square of ``size`` pixels out of the middle."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __call__(self, picture: Image.Image) -> Image.Image:
        return self.cut(picture, (picture.width - self.size) // 2, (picture.height - self.size) // 2)

    def cut(self, picture: Image.Image, left: int, top: int) -> Image.Image:
        """The square whose first pixel is at (left, top)."""
        return picture.crop((left, top, left + self.size, top + self.size))


class RandomCrop(CenterCrop):
    """Cuts a square of ``size`` pixels out of anywhere."""

    def __call__(self, picture: Image.Image) -> Image.Image:
        left, top = (int(torch.randint(0, side - self.size + 1, (1,))) for side in picture.size)
        return self.cut(picture, left, top)


class RandomHorizontalFlip:
    """Mirrors with probability ``p``."""

    def __init__(self, p: float = 0.5) -> None:
        self.p = p

    def __call__(self, picture: Image.Image) -> Image.Image:
        mirrored = float(torch.rand(1)) < self.p
        return picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirrored else picture


class ToTensor:
    """A picture as float32 [channels, H, W] in [0, 1]."""

    def __call__(self, picture: Image.Image) -> Tensor:
        pixels = np.array(picture, dtype=np.uint8)
        pixels = pixels[..., None] if pixels.ndim == 2 else pixels
        return torch.from_numpy(pixels).permute(2, 0, 1).float() / 255


class Normalize:
    """``(tensor - mean) / std`` for each channel."""

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        self.mean, self.std = (torch.tensor(values).view(-1, 1, 1) for values in (mean, std))

    def __call__(self, tensor: Tensor) -> Tensor:
        return (tensor - self.mean) / self.std
