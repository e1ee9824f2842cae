"""The transforms of pictures of several sizes: what is done to a picture depends on the bucket that it takes."""

from collections.abc import Sequence

from diffkit.datasets.transforms.base import Compose, ToTensor
from diffkit.datasets.transforms.buckets import AspectBuckets, Size
from diffkit.datasets.transforms.geometry import CenterCrop, Cover, RandomCrop, RandomHorizontalFlip


class SizedTransforms:
    """For each bucket: scale the picture so that it covers the bucket, perhaps mirror it, cut off the rest, [-1, 1].

    Args:
        buckets: which sizes there are, or the arguments of ``AspectBuckets``.
        resolutions: each picture is shown at each of them, as a side of a square in pixels.
        center_crop: cut out the middle; False cuts at random.
        hflip: probability of mirroring, 0 to 1.
        interpolation: of the scaling, one of ``INTERPOLATIONS``.
    """

    def __init__(self, buckets: AspectBuckets | dict, resolutions: int | Sequence[int], center_crop: bool = True,
                 hflip: float = 0.5, interpolation: str = "bilinear") -> None:
        self.buckets = buckets if isinstance(buckets, AspectBuckets) else AspectBuckets(**buckets)
        self.resolutions = as_resolutions(resolutions)
        for resolution in self.resolutions:
            self.buckets.check(resolution)
        self.center_crop, self.hflip, self.interpolation = center_crop, hflip, interpolation
        self._made: dict[Size, Compose] = {}

    def sizes(self, picture: Size) -> tuple[Size, ...]:
        """The bucket of a picture, as (height, width), for each resolution.

        Raises:
            ValueError: the picture is too small, or too narrow for a bucket of any shape.
        """
        for size in self.largest():  # a prior picture is shown in the shape of any instance
            Cover(size).check(picture)
        return tuple(self.buckets.size_of(picture, resolution) for resolution in self.resolutions)

    def largest(self) -> tuple[Size, ...]:
        """The widest and the highest bucket of each resolution."""
        return tuple(sizes[end] for sizes in map(self.buckets.sizes, self.resolutions) for end in (0, -1))

    def of(self, size: Size) -> Compose:
        """The transforms of a bucket, (height, width)."""
        if size not in self._made:
            crop = CenterCrop(size) if self.center_crop else RandomCrop(size)
            self._made[size] = Compose(
                [Cover(size, self.interpolation), RandomHorizontalFlip(self.hflip), crop, ToTensor()])
        return self._made[size]


def as_resolutions(value: int | Sequence[int]) -> tuple[int, ...]:
    """One or several resolutions, in pixels.

    Raises:
        ValueError: there is none, one twice, or one is no whole number above 0.
    """
    listed = (value,) if isinstance(value, int) else tuple(value)
    if not listed or len(set(listed)) < len(listed):
        raise ValueError(f"resolution must be a number of pixels, or several that differ, got {value!r}")
    for each in listed:
        if not isinstance(each, int) or isinstance(each, bool) or each < 1:
            raise ValueError(f"resolution must be a whole number of pixels, at least 1, got {each!r}")
    return listed
