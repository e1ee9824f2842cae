"""Aspect-ratio buckets: the sizes that pictures of all shapes are brought to, so that none is squashed."""

import math

from diffkit.datasets.transforms.geometry import covering_size

Size = tuple[int, int]  # height, width


class AspectBuckets:
    """Sizes of about one number of pixels, and which of them a picture takes.

    A resolution ``r`` stands for ``r * r`` pixels. Its buckets are sizes whose sides are multiples of ``step``: for
    each short side from ``r`` down the longest other side with at most ``r * r`` pixels, upright and lying, as far as
    ``max_ratio`` allows. Where the next one would be too long, it is as long as allowed, if that leaves 3/4 of the
    pixels. A picture takes the bucket whose shape is nearest to its own, so that as little as can be is cut away.

    In a config it is the option ``buckets`` of a dataset, as ``buckets=dict(max_ratio=2.0)``.

    Args:
        step: what sides are multiples of, in pixels: a multiple of 8, for the VAE, and at best of 64.
        max_ratio: the longest side of a bucket by its shortest, at least 1. Pictures that are narrower lose their ends;
            1 has squares only.
        enlarge: how many times larger than it is a picture may be shown, at least 1. One that would be enlarged more
            takes a bucket of fewer pixels, down to half the resolution; if that is still too large, it is refused.
            None enlarges as much as it takes.
    """

    def __init__(self, step: int = 64, max_ratio: float = 2.0, enlarge: float | None = None) -> None:
        if step < 8 or step % 8:
            raise ValueError(f"step must be a multiple of 8, the reduction of the VAE, and at best of 64, got {step}")
        if max_ratio < 1:
            raise ValueError(f"max_ratio must be at least 1, the longest side by the shortest, got {max_ratio}")
        if enlarge is not None and enlarge < 1:
            raise ValueError(f"enlarge must be at least 1, or None for no limit, got {enlarge}")
        self.step, self.max_ratio, self.enlarge = step, max_ratio, enlarge

    def check(self, resolution: int) -> None:
        """Raises ValueError for a resolution that has no buckets."""
        if resolution < self.step or resolution % self.step:
            near = max(self.step, round(resolution / self.step) * self.step)
            raise ValueError(f"resolution must be a multiple of buckets.step, which is {self.step}, got {resolution}; "
                             f"the nearest is {near}")

    def sizes(self, resolution: int) -> list[Size]:
        """The buckets of a resolution, from the lowest and widest to the highest and narrowest."""
        sizes, longest = set(), 0.0
        for short in range(resolution, 0, -self.step):
            long = resolution * resolution // (short * self.step) * self.step
            reaches = long <= self.max_ratio * short
            if not reaches:  # a last one with fewer pixels, if its shape is another and the pixels are not too few
                long = int(self.max_ratio * short) // self.step * self.step
                if long <= longest * short or 4 * short * long < 3 * resolution * resolution:
                    break
            sizes |= {(short, long), (long, short)}
            longest = long / short
            if not reaches:
                break
        return sorted(sizes, key=lambda size: size[0] / size[1])

    def size_of(self, picture: Size, resolution: int) -> Size:
        """The bucket of a picture, both as (height, width).

        Raises:
            ValueError: it is too small.
        """
        least = math.ceil(resolution / 2 / self.step) * self.step
        for level in range(resolution, least - 1, -self.step):
            size = min(self.sizes(level), key=lambda size: abs(_log_ratio(size) - _log_ratio(picture)))
            factor = max(size[0] / picture[0], size[1] / picture[1])
            if self.enlarge is None or factor <= self.enlarge:
                return size
        raise ValueError(
            f"a picture of {picture[0]}x{picture[1]} (height x width) would have to be enlarged {factor:.3g} times for "
            f"the smallest bucket, {size[0]}x{size[1]}; allowed is {self.enlarge:g} (buckets.enlarge)")


def cut_away(picture: Size, size: Size) -> float:
    """The share of a picture that is lost where it covers a size, 0 to 1; both as (height, width)."""
    height, width = covering_size(picture, size)
    return 1 - size[0] * size[1] / (height * width)


def _log_ratio(size: Size) -> float:
    return math.log(size[0] / size[1])
