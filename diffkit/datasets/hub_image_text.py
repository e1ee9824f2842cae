"""Captioned pictures of a dataset of the hub."""

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.logging import print_log
from torch.utils.data import Dataset

from diffkit.datasets.draw import Draw, as_draw
from diffkit.datasets.hub_rows import HubRows, load_table
from diffkit.datasets.item_shape import ItemShape
from diffkit.datasets.picture_set import Entry, PictureSet
from diffkit.datasets.prompt_source import PromptSource
from diffkit.datasets.transforms import AspectBuckets, Compose, Transform, choose_transforms
from diffkit.datasets.verified import verified_files
from diffkit.datasets.verify import bad_report, check_policy
from diffkit.registry import DATASETS

_PIXELS, _WORDS = range(2)


@DATASETS.register_module()
class HubImageText(Dataset):
    """A dataset of the hub (or of a folder that ``datasets`` understands) with an image and a caption column.

    Needs ``pip install datasets``. Code of a dataset's author is never run. All images are verified here, before
    any training.

    Args:
        data_root: the dataset's name on the hub, or a folder.
        split: which part of it.
        config_name: which configuration of it, where there are several.
        image_column: column of the images.
        caption_column: column of the captions, each a text or a list of texts to choose from.
        resolution: side of the pictures that the model sees, in pixels; with ``buckets`` that of a square of as many
            pixels, or several of them, at each of which every picture is shown.
        center_crop: cut out the middle; False cuts at random, and then latents are not cached.
        hflip: probability of mirroring a picture, 0 to 1.
        caption_dropout: probability of an empty prompt, 0 to 1.
        num_images: how many rows to take from the beginning; None takes all.
        transforms: instead of the usual resize, flip and crop; then ``center_crop`` and ``hflip`` do nothing.
        buckets: bring pictures of all shapes to sizes near to theirs, and cut no squares: the arguments of
            ``AspectBuckets``, ``dict()`` for its defaults. It needs ``sampler=dict(type=BucketSampler)``.
        bad_images: ``"stop"`` raises on rows that cannot be used, ``"skip"`` leaves them out; both list them.
        seed: of everything random here.
    """

    metainfo: dict[str, Any] = {}

    def __init__(
        self,
        data_root: str,
        split: str = "train",
        config_name: str | None = None,
        image_column: str = "image",
        caption_column: str = "text",
        resolution: int | Sequence[int] = 512,
        center_crop: bool = True,
        hflip: float = 0.5,
        caption_dropout: float = 0.0,
        num_images: int | None = None,
        transforms: Compose | Sequence[Transform | dict[str, Any]] | None = None,
        buckets: AspectBuckets | dict[str, Any] | None = None,
        bad_images: str = "stop",
        seed: int = 0,
    ) -> None:
        self.seed = seed
        check_policy(bad_images)
        self.transforms = choose_transforms(
            transforms, buckets, resolution=resolution, center_crop=center_crop, hflip=hflip)
        self.prompts = PromptSource(None, caption_dropout, argument=None)
        table = load_table(data_root, config_name, split, "HubImageText")
        for argument, column in (("image_column", image_column), ("caption_column", caption_column)):
            if column not in table.column_names:
                raise ValueError(
                    f"{argument}={column!r} is no column of {data_root!r}; "
                    f"there are {', '.join(table.column_names)}"
                )
        if num_images is not None:
            table = table.select(range(min(num_images, len(table))))
        source = f"{data_root}{f', {config_name}' if config_name else ''}, {split}"
        self._what = f"data_root={data_root!r}"
        self.rows = HubRows(table, image_column, caption_column)
        verified = verified_files(f"hub:{source}", self.transforms)
        good, bad = self.rows.verify(self.transforms, verified, bad_images, self._what)
        self._good = list(good.items())
        entries = [Entry(name, digest, [], None, verified.size(digest)) for name, digest in self._good]
        self.pictures = PictureSet(entries, self.transforms, source)
        self._describe = f"{source}: {len(good)} images" + (f", {len(bad)} cannot be used" if bad else "")
        if bad:
            report = bad_report(bad, len(table), "rows")
            print_log(f"{self._what}: {report}", logger="current", level=logging.WARNING)

    def __len__(self) -> int:
        return len(self._good) * self.pictures.resolutions

    def __getitem__(self, item: int | Draw) -> dict[str, Any]:
        place, seed = as_draw(item)
        index, size = self.pictures.place(place)
        name, known = self._good[index]
        picture, digest, captions = self.rows.read(name)
        if digest != known:
            raise ValueError(f"{name} of {self._what} changed while it was in use: start again")
        sample = self.pictures.shown(index, picture, np.random.default_rng([self.seed, seed, _PIXELS]), size)
        rng = np.random.default_rng([self.seed, seed, _WORDS])
        return {**sample, "prompt": self.prompts.choose(captions, rng), "is_prior": False}

    def item_shapes(self) -> list[ItemShape]:
        """With buckets, the shape of each item; none without."""
        return self.pictures.item_shapes()

    def picture_size(self) -> tuple[int, int]:
        """Height and width of the pictures that the model sees, in pixels; with buckets the largest square."""
        if self.item_shapes():
            return self.pictures.picture_size()
        height, width = self[0]["pixel_values"].shape[-2:]
        return height, width

    def summary(self) -> str:
        """What was found, for the table before a training."""
        return self._describe

    def name_at(self, index: int) -> str:
        """The row of an item, to name it in a message."""
        return self._good[index % len(self._good)][0]

    def name_of(self, key: str) -> str | None:
        """The row that a sample's ``key`` stands for, to name it in a message."""
        return next((name for name, digest in self._good if key.startswith(digest)), None)
