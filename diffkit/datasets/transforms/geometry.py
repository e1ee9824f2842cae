"""Transforms that move pixels: resize, crop, flip."""

from dataclasses import replace

import numpy as np
from PIL import Image, ImageOps

from diffkit.datasets.image_file import MAX_PIXELS
from diffkit.datasets.transforms.base import Picture, Transform
from diffkit.registry import TRANSFORMS

INTERPOLATIONS = {
    "nearest": Image.Resampling.NEAREST,
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


@TRANSFORMS.register_module()
class Resize(Transform):
    """Scales a picture, antialiased, so that its short side has ``size`` pixels.

    Args:
        size: of the short side, in pixels. The long side is rounded down.
        interpolation: one of ``INTERPOLATIONS``.
    """

    def __init__(self, size: int, interpolation: str = "bilinear") -> None:
        self.size = _positive("size", size)
        self.interpolation = _interpolation(interpolation)

    def __call__(self, picture: Picture, rng: np.random.Generator) -> Picture:
        height, width = picture.size
        short = min(height, width)
        if short == self.size:
            return picture
        target = (self.size * width // short, self.size * height // short)
        if target[0] * target[1] > max(MAX_PIXELS, height * width):
            raise ValueError(
                f"a picture of {height}x{width} (height x width) is too narrow: with a short side of {self.size} it "
                f"would have {target[0] * target[1]} pixels, allowed are {MAX_PIXELS}"
            )
        image = _pil(picture).resize(target, INTERPOLATIONS[self.interpolation])
        return replace(picture, image=image, steps=(*picture.steps, f"{self.interpolation}{self.size}"))


@TRANSFORMS.register_module()
class Cover(Transform):
    """Scales a picture, antialiased, so that it just covers a size: one side fits, the other is as long or longer.

    Args:
        size: (height, width) to cover, in pixels.
        interpolation: one of ``INTERPOLATIONS``.
    """

    def __init__(self, size: tuple[int, int], interpolation: str = "bilinear") -> None:
        self.size = (_positive("size", size[0]), _positive("size", size[1]))
        self.interpolation = _interpolation(interpolation)

    def __call__(self, picture: Picture, rng: np.random.Generator) -> Picture:
        self.check(picture.size)
        height, width = covering_size(picture.size, self.size)
        if (height, width) == picture.size:
            return picture
        image = _pil(picture).resize((width, height), INTERPOLATIONS[self.interpolation])
        return replace(picture, image=image, steps=(*picture.steps, f"{self.interpolation}{height}x{width}"))

    def check(self, picture: tuple[int, int]) -> None:
        """Raises ValueError for a picture of (height, width) that would become too large."""
        height, width = covering_size(picture, self.size)
        if height * width > max(MAX_PIXELS, picture[0] * picture[1]):
            raise ValueError(
                f"a picture of {picture[0]}x{picture[1]} (height x width) is too narrow: where it covers "
                f"{self.size[0]}x{self.size[1]} it would have {height * width} pixels, allowed are {MAX_PIXELS}"
            )


def covering_size(picture: tuple[int, int], size: tuple[int, int]) -> tuple[int, int]:
    """The (height, width) of a picture, in its own shape to half a pixel, that just covers ``size``."""
    height, width = picture
    if size[0] * width >= size[1] * height:  # the height decides
        return size[0], max(size[1], round(size[0] * width / height))
    return max(size[0], round(size[1] * height / width)), size[1]


class _Crop(Transform):
    """Cuts out ``size`` x ``size`` pixels, or (height, width)."""

    def __init__(self, size: int | tuple[int, int]) -> None:
        height, width = (size, size) if isinstance(size, int) else size
        self.size = (_positive("size", height), _positive("size", width))

    def _margins(self, picture: Picture) -> tuple[int, int]:
        height, width = picture.size
        if height < self.size[0] or width < self.size[1]:
            raise ValueError(
                f"a crop of {self.size[0]}x{self.size[1]} (height x width) does not fit into a picture of "
                f"{height}x{width}: resize before the crop"
            )
        return height - self.size[0], width - self.size[1]

    def _cut(self, picture: Picture, top: int, left: int) -> Picture:
        height, width = self.size
        if picture.size == self.size:
            return picture
        return replace(
            picture,
            image=_pil(picture).crop((left, top, left + width, top + height)),
            crop_top_left=(picture.crop_top_left[0] + top, picture.crop_top_left[1] + left),
            steps=(*picture.steps, f"crop{top}.{left}.{height}x{width}"),
        )


@TRANSFORMS.register_module()
class CenterCrop(_Crop):
    """Cuts out the middle.

    Args:
        size: side of the crop in pixels, or (height, width).
    """

    def __call__(self, picture: Picture, rng: np.random.Generator) -> Picture:
        down, right = self._margins(picture)
        return self._cut(picture, round(down / 2), round(right / 2))


@TRANSFORMS.register_module()
class RandomCrop(_Crop):
    """Cuts out a window, each position being as likely. Its outcomes are not cached, unless there is but one.

    Args:
        size: side of the crop in pixels, or (height, width).
    """

    is_random = True

    def __call__(self, picture: Picture, rng: np.random.Generator) -> Picture:
        down, right = self._margins(picture)
        top, left = int(rng.integers(down + 1)), int(rng.integers(right + 1))
        cut = self._cut(picture, top, left)
        return replace(cut, cacheable=False) if down or right else cut


@TRANSFORMS.register_module()
class RandomHorizontalFlip(Transform):
    """Mirrors a picture left to right with some probability. Put it before a crop, whose corner is then that
    of the mirrored picture, as SDXL's size conditioning expects.

    Args:
        probability: 0 to 1.
    """

    def __init__(self, probability: float = 0.5) -> None:
        if not 0 <= probability <= 1:
            raise ValueError(f"probability must be between 0 and 1, got {probability}")
        self.probability = probability

    @property
    def is_random(self) -> bool:  # type: ignore[override]
        """Whether it ever flips."""
        return self.probability > 0

    def __call__(self, picture: Picture, rng: np.random.Generator) -> Picture:
        if not self.probability or rng.random() >= self.probability:
            return picture
        return replace(picture, image=ImageOps.mirror(_pil(picture)), steps=(*picture.steps, "flip"))


def _pil(picture: Picture) -> Image.Image:
    if not isinstance(picture.image, Image.Image):
        raise TypeError("resize, crop and flip come before ToTensor")
    return picture.image


def _positive(name: str, value: int) -> int:
    if not isinstance(value, int) or value < 1:
        raise ValueError(f"{name} must be a whole number of pixels, at least 1, got {value!r}")
    return value


def _interpolation(name: str) -> str:
    if name not in INTERPOLATIONS:
        raise ValueError(f"interpolation must be one of {', '.join(INTERPOLATIONS)}, got {name!r}")
    return name
