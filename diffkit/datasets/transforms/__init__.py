"""Transforms of pictures, on PIL, NumPy and torch; all chance comes from the draw's seed."""

from collections.abc import Sequence
from typing import Any

from diffkit.datasets.transforms.base import Compose, Picture, ToTensor, Transform
from diffkit.datasets.transforms.geometry import (
    INTERPOLATIONS,
    CenterCrop,
    RandomCrop,
    RandomHorizontalFlip,
    Resize,
)
from diffkit.datasets.transforms.scale import CenterSquare, SizeAugment

__all__ = [
    "INTERPOLATIONS",
    "CenterCrop",
    "CenterSquare",
    "Compose",
    "Picture",
    "RandomCrop",
    "RandomHorizontalFlip",
    "Resize",
    "SizeAugment",
    "ToTensor",
    "Transform",
    "build_transforms",
    "default_transforms",
    "size_transforms",
]


def default_transforms(
    resolution: int, center_crop: bool = True, hflip: float = 0.5, interpolation: str = "bilinear"
) -> Compose:
    """What fine-tuning usually does: the short side to ``resolution``, perhaps mirrored, a square crop, [-1,
    1].

    Args:
        resolution: side of the square, in pixels.
        center_crop: cut out the middle; False cuts at random, and then latents cannot be cached.
        hflip: probability of mirroring, 0 to 1.
        interpolation: of the resize, one of ``INTERPOLATIONS``.
    """
    if not isinstance(resolution, int) or resolution < 1:
        raise ValueError(f"resolution must be a whole number of pixels, at least 1, got {resolution!r}")
    if not 0 <= hflip <= 1:
        raise ValueError(f"hflip must be between 0 and 1, got {hflip}")
    crop = CenterCrop(resolution) if center_crop else RandomCrop(resolution)
    return Compose([Resize(resolution, interpolation), RandomHorizontalFlip(hflip), crop, ToTensor()])


def size_transforms(resolution: int, hflip: float = 0.0, interpolation: str = "bilinear") -> Compose:
    """The square in the middle, perhaps mirrored, at a random scale; see :class:`SizeAugment`.

    Args:
        resolution: side of the result, in pixels.
        hflip: probability of mirroring, 0 to 1.
        interpolation: of the scaling, one of ``INTERPOLATIONS``.
    """
    limit = int(1.4 * resolution)  # no picture is shown larger
    return Compose([CenterSquare(limit, interpolation), RandomHorizontalFlip(hflip),
                    SizeAugment(resolution, interpolation=interpolation), ToTensor()])


def build_transforms(
    transforms: Compose | Sequence[Transform | dict[str, Any]] | None,
    *,
    resolution: int,
    center_crop: bool,
    hflip: float,
) -> Compose:
    """Returns the transforms that a dataset was given, or the usual ones when it was given None."""
    if transforms is None:
        return default_transforms(resolution, center_crop, hflip)
    return transforms if isinstance(transforms, Compose) else Compose(transforms)
