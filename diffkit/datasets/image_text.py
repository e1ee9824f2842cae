"""Captioned pictures, for text-to-image training and distillation: from a folder or from the hub."""

import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.logging import print_log
from PIL import Image
from torch.utils.data import Dataset

from diffkit.datasets.draw import Draw, as_draw
from diffkit.datasets.image_file import BadImageError, printable, to_rgb, upright
from diffkit.datasets.image_folder import check_policy
from diffkit.datasets.pictures import Entry, PictureSet, open_pictures
from diffkit.datasets.prompt_source import PromptSource
from diffkit.datasets.transforms import Compose, Picture, Transform, build_transforms
from diffkit.registry import DATASETS

_PIXELS, _WORDS = range(2)


@DATASETS.register_module()
class ImageTextDataset(Dataset):
    """A folder of images with captions; all images are verified here, before any training.

    Args:
        data_root: the folder, or ``shapes:scenes`` for captioned pictures that code draws.
        resolution: side of the pictures that the model sees, in pixels.
        center_crop: cut out the middle; False cuts at random, and then latents are not cached.
        hflip: probability of mirroring a picture, 0 to 1.
        caption_dropout: probability of an empty prompt, 0 to 1.
        captions: where captions come from: ``"auto"`` (a .txt beside the image, or else metadata.jsonl or
            metadata.csv), ``"txt"`` or ``"metadata"``. Of several captions one is drawn at random.
        caption_column: column of the metadata that holds the caption.
        recursive: read sub-folders too; names in the metadata are then relative to ``data_root``.
        num_images: how many pictures to take, the first by name; None takes all.
        transforms: instead of the usual resize, flip and crop; then ``center_crop`` and ``hflip`` do nothing.
        bad_images: ``"stop"`` raises on images that cannot be used, ``"skip"`` leaves them out; both list
            them.
        keep_in_memory: keep resized pictures, so that no file is read twice.
        seed: of everything random here.
    """

    metainfo: dict[str, Any] = {}

    def __init__(
        self,
        data_root: str | Path,
        resolution: int = 512,
        center_crop: bool = True,
        hflip: float = 0.5,
        caption_dropout: float = 0.0,
        captions: str = "auto",
        caption_column: str = "text",
        recursive: bool = False,
        num_images: int | None = None,
        transforms: Compose | Sequence[Transform | dict[str, Any]] | None = None,
        bad_images: str = "stop",
        keep_in_memory: bool = False,
        seed: int = 0,
    ) -> None:
        if captions == "none":
            raise ValueError(
                "captions must be one of auto, txt, metadata: without captions there is no prompt"
            )
        self.seed = seed
        self.transforms = build_transforms(
            transforms, resolution=resolution, center_crop=center_crop, hflip=hflip
        )
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
            resolution=resolution,
            seed=seed,
        )
        self.prompts.check(self.pictures, "data_root")
        for note in self.pictures.notes:
            print_log(f"data_root={printable(data_root)!r}: {note}", logger="current", level=logging.WARNING)

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, item: int | Draw) -> dict[str, Any]:
        index, seed = as_draw(item)
        sample = self.pictures.sample(index, np.random.default_rng([self.seed, seed, _PIXELS]))
        rng = np.random.default_rng([self.seed, seed, _WORDS])
        return {
            **sample,
            "prompt": self.prompts.choose(self.pictures.captions(index), rng),
            "is_prior": False,
        }

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


@DATASETS.register_module()
class HubImageText(Dataset):
    """A dataset of the hub (or of a folder that ``datasets`` understands) with an image and a caption column.

    Needs ``pip install datasets``. Code of a dataset's author is never run. Pictures are decoded when they
    are asked for, so a bad one shows up only then.

    Args:
        data_root: the dataset's name on the hub, or a folder.
        split: which part of it.
        config_name: which configuration of it, where there are several.
        image_column: column of the images.
        caption_column: column of the captions, each a text or a list of texts to choose from.
        resolution: side of the pictures that the model sees, in pixels.
        center_crop: cut out the middle; False cuts at random, and then latents are not cached.
        hflip: probability of mirroring a picture, 0 to 1.
        caption_dropout: probability of an empty prompt, 0 to 1.
        num_images: how many rows to take from the beginning; None takes all.
        transforms: instead of the usual resize, flip and crop; then ``center_crop`` and ``hflip`` do nothing.
        bad_images: ``"stop"`` raises on a row that cannot be used, ``"skip"`` takes the next row instead and
            warns.
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
        resolution: int = 512,
        center_crop: bool = True,
        hflip: float = 0.5,
        caption_dropout: float = 0.0,
        num_images: int | None = None,
        transforms: Compose | Sequence[Transform | dict[str, Any]] | None = None,
        bad_images: str = "stop",
        seed: int = 0,
    ) -> None:
        self.seed = seed
        self.bad_images = check_policy(bad_images)
        self.image_column, self.caption_column = image_column, caption_column
        self.transforms = build_transforms(
            transforms, resolution=resolution, center_crop=center_crop, hflip=hflip
        )
        self.prompts = PromptSource(None, caption_dropout, argument=None)
        self.rows = _load_rows(data_root, config_name, split)
        for argument, column in (("image_column", image_column), ("caption_column", caption_column)):
            if column not in self.rows.column_names:
                raise ValueError(
                    f"{argument}={column!r} is no column of {data_root!r}; "
                    f"there are {', '.join(self.rows.column_names)}"
                )
        if num_images is not None:
            self.rows = self.rows.select(range(min(num_images, len(self.rows))))
        self._warned: set[int] = set()

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, item: int | Draw) -> dict[str, Any]:
        index, seed = as_draw(item)
        for row in range(index, index + len(self)):
            try:
                entry = self._entry(row % len(self))
            except BadImageError as error:
                self._complain(row % len(self), error)
                continue
            pictures = PictureSet([entry], self.transforms, "")
            sample = pictures.sample(0, np.random.default_rng([self.seed, seed, _PIXELS]))
            rng = np.random.default_rng([self.seed, seed, _WORDS])
            return {**sample, "prompt": self.prompts.choose(entry.captions, rng), "is_prior": False}
        raise ValueError("no row of the dataset can be used")

    def _entry(self, index: int) -> Entry:
        try:
            row = self.rows[index]
            image = row[self.image_column]
            if not isinstance(image, Image.Image):
                raise BadImageError(f"{self.image_column} is {type(image).__name__}, not an image")
            image = to_rgb(upright(image))
        except (OSError, SyntaxError) as error:
            raise BadImageError(f"damaged or truncated ({error})") from error
        value = row[self.caption_column]
        texts = [
            text for text in (value if isinstance(value, list) else [value]) if isinstance(text, str) and text
        ]
        if not texts:
            raise BadImageError(f"{self.caption_column} is empty")
        digest = hashlib.sha256(str(image.size).encode() + image.tobytes()).hexdigest()
        prepared = self.transforms.split()[0](Picture.of(image), np.random.default_rng(0))
        return Entry(str(index), digest, texts, prepared)

    def _complain(self, index: int, error: BadImageError) -> None:
        if self.bad_images == "stop":
            raise ValueError(
                f"row {index} of the dataset cannot be used: {error}; "
                "set bad_images='skip' to take the next row instead"
            ) from error
        if index not in self._warned:
            self._warned.add(index)
            print_log(
                f"row {index} of the dataset is left out: {error}", logger="current", level=logging.WARNING
            )


def _load_rows(name: str, config_name: str | None, split: str) -> Any:
    try:
        import datasets
    except ImportError as error:
        raise ImportError("HubImageText needs the package `datasets`: pip install datasets") from error
    return datasets.load_dataset(name, config_name, split=split)
