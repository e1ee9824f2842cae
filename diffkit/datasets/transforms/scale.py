"""The size augmentation of Custom Diffusion: a picture made smaller on an empty ground, or cut out larger."""

from dataclasses import replace

import numpy as np
import torch
from PIL import Image

from diffkit.datasets.transforms.base import Picture, Transform
from diffkit.datasets.transforms.geometry import INTERPOLATIONS, _interpolation, _pil, _positive
from diffkit.registry import TRANSFORMS

#: What a caption begins with where the object is small, and where it is large.
FAR = ("a far away ", "very small ")
NEAR = ("zoomed in ", "close up ")
#: A picture of less than this share of the side is called small.
SMALL = 0.6


@TRANSFORMS.register_module()
class CenterSquare(Transform):
    """Cuts out the largest square in the middle, and scales it down where its side is above ``limit`` pixels.

    Args:
        limit: in pixels; None keeps every size.
        interpolation: one of ``INTERPOLATIONS``.
    """

    def __init__(self, limit: int | None = None, interpolation: str = "bilinear") -> None:
        self.limit = None if limit is None else _positive("limit", limit)
        self.interpolation = _interpolation(interpolation)

    def __call__(self, picture: Picture, rng: np.random.Generator) -> Picture:
        height, width = picture.size
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        image = _pil(picture).crop((left, top, left + side, top + side))
        if self.limit is not None and side > self.limit:
            image = image.resize((self.limit, self.limit), INTERPOLATIONS[self.interpolation])
        return replace(picture, image=image, steps=(*picture.steps, f"square{image.width}"))


@TRANSFORMS.register_module()
class SizeAugment(Transform):
    """Shows a square picture at a random scale, and says so in words (Kumari et al. 2023, as diffusers does it).

    With ``probability`` its side is drawn from [size / 3, size], and it lies at a random place of an empty, mid-grey
    ground; else from [1.2 size, 1.4 size), and a random window of it is cut out. Nothing is cached of it.

    Beside the pixels it gives ``content_box`` (top, left, height, width; in pixels), where the ground is not empty, for
    the loss, and ``caption_prefix``: one of ``far`` below 0.6 of the side, of ``near`` above the side, else nothing.

    Args:
        size: side of the result, in pixels.
        probability: that the picture becomes smaller, 0 to 1.
        far: what a caption begins with where the picture is small; none leaves captions as they are.
        near: the same where it is large.
        interpolation: one of ``INTERPOLATIONS``.
    """

    is_random = True

    def __init__(self, size: int, probability: float = 0.66, far: tuple[str, ...] = FAR,
                 near: tuple[str, ...] = NEAR, interpolation: str = "bilinear") -> None:
        self.size = _positive("size", size)
        if not 0 <= probability <= 1:
            raise ValueError(f"probability must be between 0 and 1, got {probability}")
        self.probability, self.far, self.near = probability, tuple(far), tuple(near)
        self.interpolation = _interpolation(interpolation)

    def __call__(self, picture: Picture, rng: np.random.Generator) -> Picture:
        height, width = picture.size
        if height != width:
            raise ValueError(f"a square picture is needed, got {height}x{width} (height x width): put CenterSquare "
                             "before SizeAugment")
        side = self.draw_side(rng)
        image = _pil(picture).resize((side, side), INTERPOLATIONS[self.interpolation])
        room = abs(self.size - side)
        top, left = int(rng.integers(room + 1)), int(rng.integers(room + 1))
        prefix = self.prefix(side, rng)
        if side > self.size:
            shown = image.crop((left, top, left + self.size, top + self.size))
            box, corner = (0, 0, self.size, self.size), (top, left)
        else:
            shown = Image.new("RGB", (self.size, self.size), (127, 127, 127))
            shown.paste(image, (left, top))
            box, corner = (top, left, side, side), (0, 0)
        return replace(
            picture, image=shown, crop_top_left=corner, cacheable=False,
            steps=(*picture.steps, f"scale{side}.{top}.{left}"),
            extra={**picture.extra, "content_box": torch.tensor(box), "caption_prefix": prefix})

    def draw_side(self, rng: np.random.Generator) -> int:
        """The side at which the picture is shown, in pixels."""
        if rng.random() < self.probability:
            return int(rng.integers(max(1, self.size // 3), self.size + 1))
        least, end = int(1.2 * self.size), int(1.4 * self.size)
        return int(rng.integers(least, max(end, least + 1)))

    def prefix(self, side: int, rng: np.random.Generator) -> str:
        """What the caption of a picture shown at this side begins with."""
        words = self.far if side < SMALL * self.size else self.near if side > self.size else ()
        return words[int(rng.integers(len(words)))] if words else ""
