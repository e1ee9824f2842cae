"""Opens a set of pictures with captions: a folder, verified before training, or what code draws."""

import hashlib
from pathlib import Path

import numpy as np
from mmengine.logging import print_log
from PIL import Image

from diffkit.datasets.captions import read_captions
from diffkit.datasets.image_folder import folder_hint, list_images
from diffkit.datasets.picture_reader import PictureLoader, PictureReader, Prepared, no_chance, transformed
from diffkit.datasets.picture_set import Entry, PictureSet
from diffkit.datasets.transforms import Compose, Picture, Size, SizedTransforms
from diffkit.datasets.verified import VerifiedFiles, verified_files
from diffkit.datasets.verify import bad_report, check_policy, read_all

#: A data root that starts so names drawn pictures: ``shapes:striped_heart`` (a concept) or ``shapes:scenes``.
DRAWN = "shapes:"
DRAWN_SCENES = "scenes"
_DRAWN_SHAPES = ((1, 1), (3, 4), (4, 3), (2, 3), (3, 2))


def open_pictures(
    root: str | Path,
    transforms: Compose | SizedTransforms,
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
    entries = [Entry(name, digest, texts.get(name, []), prepared, verified.size(digest))
               for name, (digest, prepared) in good.items()]
    if hint := folder_hint(listing, argument):
        notes.append(hint)
    if bad:
        notes.append(bad_report(bad, len(names)))
    load = PictureLoader(listing.root)
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
    root: str, transforms: Compose | SizedTransforms, argument: str, num_images: int | None, resolution: int, seed: int,
    captioned: bool,
) -> PictureSet:
    from diffkit.datasets.shapes import CONCEPTS, ShapesDataset, caption, concept_captions, concept_scenes, draw

    name = root.removeprefix(DRAWN)
    if name == DRAWN_SCENES:
        world = ShapesDataset(num_images or 256, resolution, seed)
        scenes = [scene for index in range(len(world)) if (scene := world.scene(index)) is not None]
        wordings = [[caption(scene, np.random.default_rng([seed, i, k])) for k in range(4)]
                    for i, scene in enumerate(scenes)]
    elif name in CONCEPTS:
        scenes = concept_scenes(name, num_images or 5, seed)
        wordings = concept_captions(name, len(scenes), seed)
    else:
        raise ValueError(
            f"{argument}={root!r} names nothing that can be drawn; there are "
            + ", ".join(DRAWN + known for known in (*CONCEPTS, DRAWN_SCENES))
        )
    shaped = isinstance(transforms, SizedTransforms)
    pixels = [draw(scene, drawn_size(index, resolution) if shaped else resolution)
              for index, scene in enumerate(scenes)]
    pictures = {f"{name}-{index}": Picture.of(Image.fromarray(each)) for index, each in enumerate(pixels)}
    entries = [
        Entry(
            drawn,
            hashlib.sha256(each.tobytes()).hexdigest(),
            texts if captioned else [],
            _prepared(picture, transforms),
            picture.original_size,
        )
        for (drawn, picture), each, texts in zip(pictures.items(), pixels, wordings, strict=True)
    ]
    what = "of several shapes" if shaped else f"{resolution} px"
    return PictureSet(entries, transforms, f"{root}: {len(entries)} pictures drawn by code, {what}",
                      load=lambda drawn, _: pictures[drawn])


def _prepared(picture: Picture, transforms: Compose | SizedTransforms) -> Prepared:
    if isinstance(transforms, SizedTransforms):
        return transformed(picture, transforms)
    return transforms.split()[0](picture, no_chance())


def drawn_size(index: int, resolution: int) -> Size:
    """Height and width of a picture that is drawn for buckets: in turn a square, and 4:3 and 3:2 upright and lying."""
    high, wide = _DRAWN_SHAPES[(index + index // len(_DRAWN_SHAPES)) % len(_DRAWN_SHAPES)]
    short = 3 * resolution // 2  # larger than it is shown, as photographs are
    return short * high // min(high, wide), short * wide // min(high, wide)
