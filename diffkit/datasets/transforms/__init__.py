"""Transforms of pictures, on PIL, NumPy and torch; all chance comes from the draw's seed."""

from collections.abc import Sequence
from typing import Any

from diffkit.datasets.transforms.base import Compose, Picture, ToTensor, Transform
from diffkit.datasets.transforms.buckets import AspectBuckets, Size, cut_away
from diffkit.datasets.transforms.geometry import (
    INTERPOLATIONS,
    CenterCrop,
    Cover,
    RandomCrop,
    RandomHorizontalFlip,
    Resize,
)
from diffkit.datasets.transforms.scale import CenterSquare, SizeAugment
from diffkit.datasets.transforms.sized import SizedTransforms, as_resolutions

__all__ = [
    "INTERPOLATIONS",
    "AspectBuckets",
    "CenterCrop",
    "CenterSquare",
    "Compose",
    "Cover",
    "Picture",
    "RandomCrop",
    "RandomHorizontalFlip",
    "Resize",
    "Size",
    "SizeAugment",
    "SizedTransforms",
    "ToTensor",
    "Transform",
    "as_resolutions",
    "build_transforms",
    "choose_transforms",
    "cut_away",
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
    resolution: int | Sequence[int],
    center_crop: bool,
    hflip: float,
) -> Compose:
    """Returns the transforms that a dataset was given, or the usual ones when it was given None."""
    if transforms is not None:
        return transforms if isinstance(transforms, Compose) else Compose(transforms)
    if not isinstance(resolution, int):
        raise ValueError(f"resolution must be one number of pixels, got {resolution!r}; several, each of which every "
                         "picture is shown at, need buckets: dict(max_ratio=1) has squares only")
    return default_transforms(resolution, center_crop, hflip)


def choose_transforms(
    transforms: Compose | Sequence[Transform | dict[str, Any]] | None,
    buckets: AspectBuckets | dict[str, Any] | None,
    *,
    resolution: int | Sequence[int],
    center_crop: bool,
    hflip: float,
) -> Compose | SizedTransforms:
    """Returns those of ``build_transforms``, or with ``buckets`` those that bring each picture to its bucket."""
    if buckets is None:
        return build_transforms(transforms, resolution=resolution, center_crop=center_crop, hflip=hflip)
    if transforms is not None:
        raise ValueError("buckets and transforms cannot both be set: buckets brings its own resize, flip and crop")
    if not 0 <= hflip <= 1:
        raise ValueError(f"hflip must be between 0 and 1, got {hflip}")
    return SizedTransforms(buckets, resolution, center_crop, hflip)
