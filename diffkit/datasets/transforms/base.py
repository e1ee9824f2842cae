"""What a transform is: a function of a picture and of the draw's own random numbers."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from PIL import Image

from diffkit.registry import TRANSFORMS


@dataclass(frozen=True)
class Picture:
    """A picture on its way through the transforms.

    Attributes:
        image: the pixels; a PIL image in RGB, after ``ToTensor`` float32 [3, H, W].
        original_size: (height, width) of the picture before any transform.
        crop_top_left: (y, x) of the crop's corner in the resized picture, (0, 0) without a crop.
        steps: what was done to the pixels so far; equal steps on equal files give equal pixels.
        cacheable: False when there are too many outcomes for any of them to be worth keeping (random crops).
        extra: what a transform adds to the sample, for instance a mask.
    """

    image: Image.Image | torch.Tensor
    original_size: tuple[int, int]
    crop_top_left: tuple[int, int] = (0, 0)
    steps: tuple[str, ...] = ()
    cacheable: bool = True
    extra: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, image: Image.Image) -> "Picture":
        """An untouched picture."""
        return cls(image, (image.height, image.width))

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the pixels now."""
        if isinstance(self.image, torch.Tensor):
            return int(self.image.shape[-2]), int(self.image.shape[-1])
        return self.image.height, self.image.width

    def key(self, digest: str) -> str | None:
        """The name of exactly these pixels, from the file's digest; None when they are not worth caching."""
        return "-".join((digest, *self.steps)) if self.cacheable else None


class Transform(ABC):
    """Changes a picture. All of its chance comes from the ``rng`` that it is given.

    Attributes:
        is_random: whether it uses the ``rng``. What comes before the first random transform can be kept in
            memory.
    """

    is_random = False

    @abstractmethod
    def __call__(self, picture: Picture, rng: np.random.Generator) -> Picture:
        """Returns the changed picture; its ``steps`` name the change. One whose outcomes are many says so
        by ``cacheable=False``; so it is taken if it is random and adds no step."""


@TRANSFORMS.register_module()
class Compose(Transform):
    """Transforms one after another.

    Args:
        transforms: transforms, or dicts with a ``type`` that make them.
    """

    def __init__(self, transforms: Sequence[Transform | dict[str, Any]]) -> None:
        built = [TRANSFORMS.build(item) if isinstance(item, dict) else item for item in transforms]
        for item in built:
            if not isinstance(item, Transform):
                raise TypeError(f"transforms must be diffkit transforms or dicts with a type, got {item!r}")
        self.transforms: list[Transform] = built

    @property
    def is_random(self) -> bool:  # type: ignore[override]
        """Whether any of them is random."""
        return any(item.is_random for item in self.transforms)

    def __call__(self, picture: Picture, rng: np.random.Generator) -> Picture:
        for transform in self.transforms:
            before, picture = picture, transform(picture, rng)
            if transform.is_random and picture.image is not before.image and picture.steps == before.steps:
                picture = replace(picture, cacheable=False)  # its key does not tell this outcome from another
        return picture

    def split(self) -> tuple["Compose", "Compose"]:
        """The part that always does the same, and the rest, from the first random transform or tensor on."""
        first = next(
            (i for i, item in enumerate(self.transforms) if item.is_random or isinstance(item, ToTensor)),
            len(self.transforms),
        )
        return Compose(self.transforms[:first]), Compose(self.transforms[first:])


@TRANSFORMS.register_module()
class ToTensor(Transform):
    """The pixels as float32 [3, H, W] in [-1, 1]: level 0 is -1, level 255 is 1."""

    def __call__(self, picture: Picture, rng: np.random.Generator) -> Picture:
        levels = torch.from_numpy(np.array(picture.image, dtype=np.float32)).permute(2, 0, 1)
        return replace(picture, image=(levels / 127.5 - 1).contiguous())
