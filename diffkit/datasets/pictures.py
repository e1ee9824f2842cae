"""A set of pictures with captions: verified before training, transformed when asked for."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.logging import print_log
from PIL import Image

from diffkit.datasets.captions import read_captions
from diffkit.datasets.image_folder import folder_hint, list_images
from diffkit.datasets.picture_reader import PictureLoader, PictureReader, no_chance
from diffkit.datasets.transforms import Compose, Picture, ToTensor
from diffkit.datasets.verified import VerifiedFiles, verified_files
from diffkit.datasets.verify import bad_report, check_policy, read_all

#: A data root that starts so names drawn pictures: ``shapes:striped_heart`` (a concept) or ``shapes:scenes``.
DRAWN = "shapes:"
DRAWN_SCENES = "scenes"


@dataclass
class Entry:
    """One picture: its name, the digest of its content, its captions (maybe none), and its pixels if kept.

    ``prepared`` is the picture after all transforms that always do the same.
    """

    name: str
    digest: str
    captions: list[str]
    prepared: Picture | None = None


class PictureSet:
    """Pictures that are known to be sound.

    Args:
        entries: the pictures.
        transforms: what is done to each.
        describe: one line on what these pictures are.
        notes: what a user should know about the folder (files left out, sub-folders not read).
        load: gives the pixels of an entry that are not kept in memory, from its name and digest.
    """

    def __init__(
        self,
        entries: Sequence[Entry],
        transforms: Compose,
        describe: str,
        notes: Sequence[str] = (),
        load: Callable[[str, str], Picture] | None = None,
    ) -> None:
        self.entries = list(entries)
        self.describe = describe
        self.notes = list(notes)
        self._load = load
        self._random = transforms.split()[1]

    def __len__(self) -> int:
        return len(self.entries)

    def captions(self, index: int) -> list[str]:
        """The captions of a picture; none when it has no caption of its own."""
        return self.entries[index].captions

    def without_caption(self) -> list[str]:
        """Names of the pictures that have no caption of their own."""
        return [entry.name for entry in self.entries if not entry.captions]

    def sample(self, index: int, rng: np.random.Generator) -> dict[str, Any]:
        """The transformed picture.

        Returns:
            ``pixel_values`` float32 [3, H, W], ``key``, ``original_size`` (height, width), ``crop_top_left``
            (y, x), and what the transforms add.
        """
        entry = self.entries[index]
        picture = entry.prepared
        if picture is None:
            if self._load is None:
                raise ValueError(f"{entry.name} has no pixels")
            picture = self._load(entry.name, entry.digest)
        picture = self._random(picture, rng)
        if isinstance(picture.image, Image.Image):
            picture = ToTensor()(picture, rng)
        return {
            "pixel_values": picture.image,
            "key": picture.key(entry.digest),
            "original_size": picture.original_size,
            "crop_top_left": picture.crop_top_left,
            **picture.extra,
        }

    def picture_size(self) -> tuple[int, int]:
        """Height and width of the first picture as the model sees it."""
        height, width = self.sample(0, np.random.default_rng(0))["pixel_values"].shape[-2:]
        return height, width

    def name_of(self, key: str) -> str | None:
        """The picture that a ``key`` of a sample stands for; None when it is not of this set."""
        return next((entry.name for entry in self.entries if key.startswith(entry.digest)), None)


def open_pictures(
    root: str | Path,
    transforms: Compose,
    *,
    argument: str = "data_root",
    captions: str = "auto",
    caption_column: str = "text",
    num_images: int | None = None,
    recursive: bool = False,
    bad_images: str = "stop",
    keep_in_memory: bool = True,
    resolution: int = 64,
    seed: int = 0,
) -> PictureSet:
    """Opens a folder of images, or pictures that code draws.

    Args:
        root: a folder, or ``shapes:`` with the name of a drawn concept or ``scenes``.
        transforms: what is done to each picture.
        argument: what the user knows ``root`` by; used in messages.
        captions: where captions come from, see ``read_captions``; drawn pictures have theirs unless ``"none"``.
        caption_column: column of the metadata that holds captions.
        num_images: how many pictures to take, the first by name; None takes all (drawn: 5 of a concept, 256
            scenes).
        recursive: read sub-folders too.
        bad_images: ``"stop"`` or ``"skip"``.
        keep_in_memory: keep the pixels after all transforms that always do the same.
        resolution: of drawn pictures, in pixels.
        seed: of drawn pictures.

    Raises:
        ValueError: if there are no images, too few, or bad ones that are not to be skipped.
    """
    check_policy(bad_images)
    if num_images is not None and num_images < 1:
        raise ValueError(f"num_images must be at least 1, got {num_images}")
    if str(root).startswith(DRAWN):
        return _draw(str(root), transforms, argument, num_images, resolution, seed, captions != "none")
    listing = list_images(root, argument, recursive)
    if num_images is not None and num_images > len(listing.images):
        raise ValueError(f"num_images is {num_images}, but {argument} holds {listing.describe()}")
    names = listing.images[:num_images]
    texts, notes = read_captions(listing.root, listing.images, captions, caption_column)
    verified = verified_files(str(listing.root.resolve()), transforms)
    read = PictureReader(transforms, keep_in_memory, verified)
    try:
        good, bad = read_all(listing.root, names, read, bad_images=bad_images, argument=argument)
    finally:
        verified.save()
    _log_verified(argument, [digest for digest, _ in good.values()], keep_in_memory, verified)
    entries = [Entry(name, digest, texts.get(name, []), picture) for name, (digest, picture) in good.items()]
    if hint := folder_hint(listing, argument):
        notes.append(hint)
    if bad:
        notes.append(bad_report(bad, len(names)))
    load = PictureLoader(listing.root, transforms.split()[0])
    describe = listing.describe() + _left_out(len(listing.images), len(entries), len(bad))
    return PictureSet(entries, transforms, describe, notes, load)


def _left_out(found: int, used: int, bad: int) -> str:
    """The end of a line on a folder whose images are not all used."""
    if found == used:
        return ""
    return f"; {used} of these images are used" + (f", {bad} cannot be" if bad else "")


def _log_verified(argument: str, digests: list[str], keep: bool, verified: VerifiedFiles) -> None:
    known = 0 if keep else sum(map(verified.knows, digests))
    print_log(f"{argument}: {len(digests)} images verified, {known} of them known from an earlier start",
              logger="current")


def _draw(
    root: str, transforms: Compose, argument: str, num_images: int | None, resolution: int, seed: int,
    captioned: bool,
) -> PictureSet:
    from diffkit.datasets.shapes import CONCEPTS, ShapesDataset, caption, concept_captions, concept_images

    name = root.removeprefix(DRAWN)
    if name == DRAWN_SCENES:
        world = ShapesDataset(num_images or 256, resolution, seed)
        drawn = [world.picture(index) for index in range(len(world))]
        scenes = [world.scene(index) for index in range(len(world))]
        wordings = [
            [caption(scene, np.random.default_rng([seed, i, k])) for k in range(4)]
            for i, scene in enumerate(scenes)
            if scene is not None
        ]
    elif name in CONCEPTS:
        drawn = concept_images(name, num_images or 5, seed, resolution)
        wordings = concept_captions(name, len(drawn), seed)
    else:
        raise ValueError(
            f"{argument}={root!r} names nothing that can be drawn; there are "
            + ", ".join(DRAWN + known for known in (*CONCEPTS, DRAWN_SCENES))
        )
    prefix = transforms.split()[0]
    entries = [
        Entry(
            f"{name}-{index}",
            hashlib.sha256(pixels.tobytes()).hexdigest(),
            texts if captioned else [],
            prefix(Picture.of(Image.fromarray(pixels)), no_chance()),
        )
        for index, (pixels, texts) in enumerate(zip(drawn, wordings, strict=True))
    ]
    return PictureSet(entries, transforms, f"{root}: {len(entries)} pictures drawn by code, {resolution} px")
