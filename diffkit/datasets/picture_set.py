"""A set of pictures that are known to be sound, transformed when they are asked for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from diffkit.datasets.item_shape import ItemShape
from diffkit.datasets.picture_reader import Prepared, no_chance
from diffkit.datasets.transforms import Compose, Picture, Size, SizedTransforms, ToTensor

#: Gives the untouched picture of an entry, from its name and digest.
Load = Callable[[str, str], Picture]


@dataclass
class Entry:
    """One picture: its name, the digest of its content, its captions (maybe none), and its pixels if kept.

    ``prepared`` is the picture after all transforms that always do the same; with buckets, for each of its sizes.
    ``original_size`` is its height and width before any; only buckets need it.
    """

    name: str
    digest: str
    captions: list[str]
    prepared: Prepared | None = None
    original_size: Size | None = None


class PictureSet:
    """Pictures that are known to be sound.

    Args:
        entries: the pictures.
        transforms: what is done to each.
        describe: one line on what these pictures are.
        notes: what a user should know about the folder (files left out, sub-folders not read).
        load: gives the untouched picture of an entry that is not kept in memory, from its name and digest.
    """

    def __init__(
        self,
        entries: Sequence[Entry],
        transforms: Compose | SizedTransforms,
        describe: str,
        notes: Sequence[str] = (),
        load: Load | None = None,
    ) -> None:
        self.entries = list(entries)
        self.describe = describe
        self.notes = list(notes)
        self._load = load
        self._transforms = transforms
        sized = transforms if isinstance(transforms, SizedTransforms) else None
        self._splits: dict[Size | None, tuple[Compose, Compose]] = {}
        self._sizes = [sized.sizes(_known_size(entry)) for entry in self.entries] if sized else []
        #: How many resolutions each picture is shown at.
        self.resolutions = len(sized.resolutions) if sized else 1

    def __len__(self) -> int:
        return len(self.entries)

    def captions(self, index: int) -> list[str]:
        """The captions of a picture; none when it has no caption of its own."""
        return self.entries[index].captions

    def without_caption(self) -> list[str]:
        """Names of the pictures that have no caption of their own."""
        return [entry.name for entry in self.entries if not entry.captions]

    def sample(self, index: int, rng: np.random.Generator, size: Size | None = None) -> dict[str, Any]:
        """The transformed picture.

        Args:
            index: of the picture.
            rng: of all that is random.
            size: with buckets, the one to show it in, (height, width); None takes its own at the first resolution.

        Returns:
            ``pixel_values`` float32 [3, H, W], ``key``, ``original_size`` (height, width), ``crop_top_left``
            (y, x), and what the transforms add.
        """
        entry, size = self.entries[index], self._size(index, size)
        kept = entry.prepared.get(size) if isinstance(entry.prepared, dict) and size else entry.prepared
        if isinstance(kept, Picture):
            return self._finished(kept, entry, rng, size)
        return self.shown(index, self._loaded(entry), rng, size)

    def shown(self, index: int, picture: Picture, rng: np.random.Generator, size: Size | None = None) -> dict[str, Any]:
        """What ``sample`` returns, of an untouched picture that the caller has read; arguments as there."""
        size = self._size(index, size)
        return self._finished(self._split(size)[0](picture, no_chance()), self.entries[index], rng, size)

    def _finished(self, picture: Picture, entry: Entry, rng: np.random.Generator, size: Size | None) -> dict[str, Any]:
        """The sample of a picture to which all has been done that always does the same."""
        picture = self._split(size)[1](picture, rng)
        if isinstance(picture.image, Image.Image):
            picture = ToTensor()(picture, rng)
        return {
            "pixel_values": picture.image,
            "key": picture.key(entry.digest),
            "original_size": picture.original_size,
            "crop_top_left": picture.crop_top_left,
            **picture.extra,
        }

    def _size(self, index: int, size: Size | None) -> Size | None:
        if not isinstance(self._transforms, SizedTransforms):
            return None
        return size or self._sizes[index][0]

    def _split(self, size: Size | None) -> tuple[Compose, Compose]:
        """The transforms that always do the same, and the rest; with buckets those of a size."""
        if size not in self._splits:
            transforms = self._transforms
            if isinstance(transforms, SizedTransforms):
                transforms = transforms.of(size or max(transforms.largest()))
            self._splits[size] = transforms.split()
        return self._splits[size]

    def _loaded(self, entry: Entry) -> Picture:
        if self._load is None:
            raise ValueError(f"{entry.name} has no pixels")
        return self._load(entry.name, entry.digest)

    def place(self, item: int, repeats: int = 1) -> tuple[int, Size | None]:
        """Which picture an item of a dataset shows, and with buckets in which size.

        An epoch shows all pictures, ``repeats`` times, at the first resolution, then at the next.
        """
        resolution, rest = divmod(item, len(self) * repeats)
        index = rest % len(self)
        return index, self._sizes[index][resolution] if self._sizes else None

    def item_shapes(self, repeats: int = 1) -> list[ItemShape]:
        """With buckets, the shapes of all items that ``place`` knows; none without."""
        if not self._sizes:
            return []
        places = (self.place(item, repeats) for item in range(len(self) * repeats * self.resolutions))
        return [ItemShape(_known_size(self.entries[index]), size) for index, size in places if size is not None]

    def picture_size(self) -> tuple[int, int]:
        """Height and width of the first picture as the model sees it; with buckets the largest square."""
        if isinstance(self._transforms, SizedTransforms):
            return (max(self._transforms.resolutions),) * 2
        height, width = self.sample(0, np.random.default_rng(0))["pixel_values"].shape[-2:]
        return height, width

    def name_of(self, key: str) -> str | None:
        """The picture that a ``key`` of a sample stands for; None when it is not of this set."""
        return next((entry.name for entry in self.entries if key.startswith(entry.digest)), None)


def _known_size(entry: Entry) -> Size:
    if entry.original_size is None:
        raise ValueError(f"the size of {entry.name} is not known, and buckets need it")
    return entry.original_size
