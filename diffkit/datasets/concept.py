"""Pictures of one concept, for DreamBooth and textual inversion; with prior pictures of its class."""

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
from diffkit.datasets.pictures import DRAWN, DRAWN_SCENES, open_pictures
from diffkit.datasets.prior import PriorImages
from diffkit.datasets.prompt_source import PromptSource, as_prompts, prefixed
from diffkit.datasets.templates import choose_templates
from diffkit.datasets.transforms import (
    AspectBuckets,
    Compose,
    Size,
    SizedTransforms,
    Transform,
    as_resolutions,
    choose_transforms,
    size_transforms,
)
from diffkit.registry import DATASETS

# Each has its own stream of a draw's seed, so that switching one on does not change another.
_PIXELS, _WORDS, _PRIOR_PIXELS, _PRIOR_WORDS, _PRIOR_CHOICE = range(5)


@DATASETS.register_module()
class ConceptDataset(Dataset):
    """A few pictures of a concept, and prior pictures that remind the model of its class.

    An item is a dict, or with a prior the list [instance, prior]; see ``collate_samples`` for what they hold.
    All images are verified here, before any training. What is random about an item depends on ``seed`` and on
    the draw.

    A picture's prompt is its own caption (a .txt beside it, or else metadata.jsonl / metadata.csv with
    ``file_name`` and ``text``), or else ``instance_prompt`` (``class_prompt`` for a prior picture).

    Args:
        data_root: a flat folder of images, or ``shapes:NAME`` for a concept that code draws.
        instance_prompt: the prompt of pictures without a caption; one of a list is drawn at random.
        class_prompt: prompt of the prior pictures. Several are generated in turn; the caption in the folder
            says which one a picture was made from.
        class_data_root: folder of the prior pictures. None lets the training choose one in its ``work_dir``.
        num_class_images: how many prior pictures are used. ``PriorImagesHook`` generates what is missing; 0
            takes all that are in ``class_data_root`` and generates none.
        resolution: side of the pictures that the model sees, in pixels; with ``buckets`` that of a square of as many
            pixels, or several of them, at each of which every picture is shown.
        center_crop: cut out the middle; False cuts at random, and then latents are not cached.
        hflip: probability of mirroring a picture, 0 to 1.
        size_augment: show the concept at random sizes, in words too ("a far away photo of …"), as Custom Diffusion
            does; see ``SizeAugment``. Then its latents are not cached. Prior pictures stay as they are.
        repeats: how often each picture counts in an epoch.
        caption_dropout: probability of an empty prompt, 0 to 1.
        prior_caption_dropout: the same for prior pictures.
        placeholder: what takes the place of ``{}`` in prompts and captions. With it, a drawn concept brings
            captions that name its background.
        learnable_property: instead of ``instance_prompt``: ``"object"``, ``"style"`` or ``"face"`` takes sentences
            for one (``TEMPLATES``), drawn at random. They need ``placeholder``.
        template_file: the same with sentences of your own: a text file with one a line, each with ``{}`` in it.
        captions: source of captions in ``data_root``: ``"auto"``, ``"txt"``, ``"metadata"`` or ``"none"``;
            with ``learnable_property`` or ``template_file``, ``"auto"`` is ``"none"``.
        caption_column: column of its metadata that holds the caption.
        num_images: how many pictures to take, the first by name; None takes all (drawn: 5).
        transforms: instead of the usual resize, flip and crop; then ``center_crop`` and ``hflip`` do nothing.
        buckets: bring pictures of all shapes to sizes near to theirs, and cut no squares: the arguments of
            ``AspectBuckets``, ``dict()`` for its defaults. It needs ``sampler=dict(type=BucketSampler)``. A prior
            picture is cut to the bucket of the instance beside it, and is not kept in memory.
        bad_images: ``"stop"`` raises on images that cannot be used, ``"skip"`` leaves them out; both list
            them.
        keep_in_memory: keep resized pictures, so that no file is read twice.
        seed: of everything random here, and of drawn pictures.
    """

    metainfo: dict[str, Any] = {}

    def __init__(
        self,
        data_root: str | Path,
        instance_prompt: str | Sequence[str] | None = None,
        class_prompt: str | Sequence[str] | None = None,
        class_data_root: str | Path | None = None,
        num_class_images: int = 0,
        resolution: int | Sequence[int] = 512,
        center_crop: bool = True,
        hflip: float = 0.0,
        size_augment: bool = False,
        repeats: int = 1,
        caption_dropout: float = 0.0,
        prior_caption_dropout: float = 0.0,
        placeholder: str | None = None,
        learnable_property: str | None = None,
        template_file: str | Path | None = None,
        captions: str = "auto",
        caption_column: str = "text",
        num_images: int | None = None,
        transforms: Compose | Sequence[Transform | dict[str, Any]] | None = None,
        buckets: AspectBuckets | dict[str, Any] | None = None,
        bad_images: str = "stop",
        keep_in_memory: bool = True,
        seed: int = 0,
    ) -> None:
        if repeats < 1:
            raise ValueError(f"repeats must be at least 1, got {repeats}")
        if num_class_images < 0:
            raise ValueError(f"num_class_images must be at least 0, got {num_class_images}")
        if class_prompt is not None and not num_class_images and class_data_root is None:
            raise ValueError(
                "class_prompt needs prior images: set num_class_images to have them generated, or "
                "class_data_root to a folder of them"
            )
        self.seed = seed
        self.repeats = repeats
        if size_augment and transforms is not None:
            raise ValueError("size_augment is one of the usual transforms: put SizeAugment into transforms instead")
        if size_augment and buckets is not None:
            raise ValueError("size_augment and buckets cannot both be set: it shows squares only")
        self.prior_transforms = choose_transforms(
            transforms, buckets, resolution=resolution, center_crop=center_crop, hflip=hflip)
        side = max(as_resolutions(resolution))
        self.transforms = size_transforms(side, hflip) if size_augment else self.prior_transforms
        self._open: dict[str, Any] = {
            "bad_images": bad_images,
            "keep_in_memory": keep_in_memory,
            "resolution": side,
            "seed": seed,
        }
        captions = check_source(captions)
        templates = choose_templates(learnable_property, template_file, instance_prompt, placeholder)
        if templates and captions == "auto":
            captions = "none"
        self.prompts = PromptSource(templates or instance_prompt, caption_dropout, placeholder)
        self.prior_prompts = PromptSource(
            class_prompt, prior_caption_dropout, placeholder, "class_prompt", "prior_caption_dropout"
        )
        if placeholder is None and str(data_root).startswith(DRAWN) and not str(data_root).endswith(DRAWN_SCENES):
            captions = "none"
        self.pictures = self._open_set(
            data_root, "data_root", num_images, self.prompts, captions=captions, caption_column=caption_column
        )
        self.prior_pictures: PictureSet | None = None
        self.prior: PriorImages | None = None
        if class_data_root is not None and _same_folder(data_root, class_data_root):
            raise ValueError(f"class_data_root and data_root are the same folder, {str(data_root)!r}")
        self._open_prior(class_data_root, num_class_images, as_prompts(class_prompt, "class_prompt"))

    def __len__(self) -> int:
        return len(self.pictures) * self.repeats * self.pictures.resolutions

    def __getitem__(self, item: int | Draw) -> dict[str, Any] | list[dict[str, Any]]:
        index, seed = as_draw(item)
        if not 0 <= index < len(self):
            raise IndexError(f"index must be between 0 and {len(self) - 1}, got {index}")
        place, size = self.pictures.place(index, self.repeats)
        instance = self._sample(self.pictures, self.prompts, place, seed, _PIXELS, _WORDS, size)
        if not self.has_prior:
            return instance
        if self.prior_pictures is None:
            self.prior_pictures = self._load_prior()
        pictures = self.prior_pictures
        choice = int(self._rng(seed, _PRIOR_CHOICE).integers(len(pictures)))
        prior = self._sample(pictures, self.prior_prompts, choice, seed, _PRIOR_PIXELS, _PRIOR_WORDS, size)
        return [instance, {**prior, "is_prior": True}]

    @property
    def has_prior(self) -> bool:
        """Whether items come with a prior picture."""
        return self.prior is not None or self.prior_pictures is not None

    def set_prior_root(self, root: str | Path) -> None:
        """Says where the prior pictures lie, when ``class_data_root`` did not."""
        if self.prior is None or self.prior.root is not None:
            raise ValueError(
                "set_prior_root is for a dataset with num_class_images and without class_data_root"
            )
        self.prior = PriorImages(Path(root), self.prior.num_images, self.prior.prompts)

    def reload_prior(self) -> None:
        """Opens the prior pictures, all of which must be there by now."""
        self.prior_pictures = self._load_prior()

    def summary(self) -> str:
        """What was found, for the table before a training."""
        parts = [self.pictures.describe]
        if self.pictures.sample(0, self._rng(0, _PIXELS))["key"] is None:
            parts.append("cut or scaled at random, so their latents are not cached")
        if self.prior_pictures is not None:
            parts.append(f"{len(self.prior_pictures)} prior images ({self.prior_pictures.describe})")
        elif self.prior is not None and self.prior.num_images:
            parts.append(
                f"{self.prior.num_images} prior images, {self.prior.deficit()} of them to be generated"
            )
        return "; ".join(parts)

    def texts(self) -> list[str]:
        """Every prompt that a picture of the concept may come with."""
        return self.prompts.texts(self.pictures)

    def item_shapes(self) -> list[ItemShape]:
        """With buckets, the shape of each item's instance; none without."""
        return self.pictures.item_shapes(self.repeats)

    def picture_size(self) -> tuple[int, int]:
        """Height and width of the pictures that the model sees, in pixels; with buckets the largest square."""
        return self.pictures.picture_size()

    def name_at(self, index: int) -> str:
        """The picture of an item, to name it in a message."""
        return self.pictures.entries[index % len(self.pictures)].name

    def name_of(self, key: str) -> str | None:
        """The picture that a sample's ``key`` stands for, to name it in a message."""
        sets = [pictures for pictures in (self.pictures, self.prior_pictures) if pictures is not None]
        return next((name for pictures in sets if (name := pictures.name_of(key))), None)

    def _open_prior(self, root: str | Path | None, number: int, prompts: list[str]) -> None:
        if root is None and not number:
            return
        if root is not None and str(root).startswith(DRAWN):
            self.prior_pictures = self._open_set(root, "class_data_root", number or None, self.prior_prompts)
            return
        folder = None if root is None else Path(root).expanduser()
        filled = tuple(self.prior_prompts.fill(prompt, "class_prompt") for prompt in prompts)
        self.prior = PriorImages(folder, number, filled)
        if self.prior.deficit() and not prompts:
            self.prior.plan(0)  # says that they cannot be generated without a prompt
        if folder is not None and not self.prior.deficit():
            self.reload_prior()

    def _load_prior(self) -> PictureSet:
        if self.prior is None:
            raise ValueError("there are no prior images: set num_class_images or class_data_root")
        missing = self.prior.deficit()
        if missing or self.prior.root is None:
            raise ValueError(
                f"{missing} of {self.prior.num_images} prior images are missing in class_data_root "
                f"({self.prior.listing().describe()}): add PriorImagesHook to custom_hooks, it generates them"
            )
        return self._open_set(
            self.prior.root, "class_data_root", self.prior.num_images or None, self.prior_prompts
        )

    def _open_set(
        self, root: str | Path, argument: str, number: int | None, prompts: PromptSource, **captions: Any
    ) -> PictureSet:
        is_prior = prompts is self.prior_prompts
        transforms = self.prior_transforms if is_prior else self.transforms
        options = {**self._open, **captions}
        if is_prior and isinstance(transforms, SizedTransforms):
            options["keep_in_memory"] = False  # each may be shown in the size of any instance
        pictures = open_pictures(root, transforms, argument=argument, num_images=number, **options)
        prompts.check(pictures, argument)
        for note in pictures.notes:
            print_log(f"{argument}={printable(root)!r}: {note}", logger="current", level=logging.WARNING)
        return pictures

    def _rng(self, seed: int, stream: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, seed, stream])

    def _sample(
        self, pictures: PictureSet, prompts: PromptSource, index: int, seed: int, pixels: int, words: int,
        size: Size | None,
    ) -> dict[str, Any]:
        sample = pictures.sample(index, self._rng(seed, pixels), size)
        prompt = prompts.choose(pictures.captions(index), self._rng(seed, words))
        prefix = sample.pop("caption_prefix", "")
        return {**sample, "prompt": prefixed(prefix, prompt), "is_prior": False}


def _same_folder(left: str | Path, right: str | Path) -> bool:
    return Path(left).expanduser().resolve() == Path(right).expanduser().resolve()
