"""Captioned pictures of a folder, for text-to-image training and distillation."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.logging import print_log
from torch.utils.data import Dataset

from diffkit.datasets.captions import check_source
from diffkit.datasets.draw import Draw, as_draw
from diffkit.datasets.image_file import printable
from diffkit.datasets.item_shape import ItemShape
from diffkit.datasets.picture_set import PictureSet
from diffkit.datasets.pictures import open_pictures
from diffkit.datasets.prompt_source import PromptSource
from diffkit.datasets.transforms import AspectBuckets, Compose, Transform, as_resolutions, choose_transforms
from diffkit.registry import DATASETS

_PIXELS, _WORDS = range(2)


@DATASETS.register_module()
class ImageTextDataset(Dataset):
    """A folder of images with captions; all images are verified here, before any training.

    Args:
        data_root: the folder, or ``shapes:scenes`` for captioned pictures that code draws.
        resolution: side of the pictures that the model sees, in pixels; with ``buckets`` that of a square of as many
            pixels, or several of them, at each of which every picture is shown.
        center_crop: cut out the middle; False cuts at random, and then latents are not cached.
        hflip: probability of mirroring a picture, 0 to 1.
        caption_dropout: probability of an empty prompt, 0 to 1.
        captions: where captions come from: ``"auto"`` (a .txt beside the image, or else metadata.jsonl or
            metadata.csv), ``"txt"`` or ``"metadata"``. Of several captions one is drawn at random.
        caption_column: column of the metadata that holds the caption.
        recursive: read sub-folders too; names in the metadata are then relative to ``data_root``.
        num_images: how many pictures to take, the first by name; None takes all.
        transforms: instead of the usual resize, flip and crop; then ``center_crop`` and ``hflip`` do nothing.
        buckets: bring pictures of all shapes to sizes near to theirs, and cut no squares: the arguments of
            ``AspectBuckets``, ``dict()`` for its defaults. It needs ``sampler=dict(type=BucketSampler)``.
        bad_images: ``"stop"`` raises on images that cannot be used, ``"skip"`` leaves them out; both list
            them.
        keep_in_memory: keep resized pictures, so that no file is read twice.
        seed: of everything random here.
    """

    metainfo: dict[str, Any] = {}

    def __init__(
        self,
        data_root: str | Path,
        resolution: int | Sequence[int] = 512,
        center_crop: bool = True,
        hflip: float = 0.5,
        caption_dropout: float = 0.0,
        captions: str = "auto",
        caption_column: str = "text",
        recursive: bool = False,
        num_images: int | None = None,
        transforms: Compose | Sequence[Transform | dict[str, Any]] | None = None,
        buckets: AspectBuckets | dict[str, Any] | None = None,
        bad_images: str = "stop",
        keep_in_memory: bool = False,
        seed: int = 0,
    ) -> None:
        if captions == "none":
            raise ValueError(
                "captions must be one of auto, txt, metadata: without captions there is no prompt"
            )
        check_source(captions)
        self.seed = seed
        self.transforms = choose_transforms(
            transforms, buckets, resolution=resolution, center_crop=center_crop, hflip=hflip)
        self.prompts = PromptSource(None, caption_dropout, argument=None)
        self.pictures: PictureSet = open_pictures(
            data_root,
            self.transforms,
            captions=captions,
            caption_column=caption_column,
            num_images=num_images,
            recursive=recursive,
            bad_images=bad_images,
            keep_in_memory=keep_in_memory,
            resolution=max(as_resolutions(resolution)),
            seed=seed,
        )
        self.prompts.check(self.pictures, "data_root")
        for note in self.pictures.notes:
            print_log(f"data_root={printable(data_root)!r}: {note}", logger="current", level=logging.WARNING)

    def __len__(self) -> int:
        return len(self.pictures) * self.pictures.resolutions

    def __getitem__(self, item: int | Draw) -> dict[str, Any]:
        place, seed = as_draw(item)
        index, size = self.pictures.place(place)
        sample = self.pictures.sample(index, np.random.default_rng([self.seed, seed, _PIXELS]), size)
        rng = np.random.default_rng([self.seed, seed, _WORDS])
        return {
            **sample,
            "prompt": self.prompts.choose(self.pictures.captions(index), rng),
            "is_prior": False,
        }

    def item_shapes(self) -> list[ItemShape]:
        """With buckets, the shape of each item; none without."""
        return self.pictures.item_shapes()

    def picture_size(self) -> tuple[int, int]:
        """Height and width of the pictures that the model sees, in pixels; with buckets the largest square."""
        return self.pictures.picture_size()

    def summary(self) -> str:
        """What was found, for the table before a training."""
        return self.pictures.describe

    def texts(self) -> list[str]:
        """Every prompt that a picture may come with."""
        return self.prompts.texts(self.pictures)

    def name_at(self, index: int) -> str:
        """The picture of an item, to name it in a message."""
        return self.pictures.entries[index % len(self.pictures)].name

    def name_of(self, key: str) -> str | None:
        """The picture that a sample's ``key`` stands for, to name it in a message."""
        return self.pictures.name_of(key)
