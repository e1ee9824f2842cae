"""What the VAE of a miniature keeps of drawings, of concepts and of photographs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from diffkit.apis.measure.pictures import Say, quiet, score, through_vae
from diffkit.datasets import ShapesScenes, default_transforms, list_images, open_image
from diffkit.datasets.shapes import CONCEPTS, concept_images
from diffkit.datasets.transforms.base import Picture
from diffkit.evaluation import ReconstructionAccuracy, concept_hit
from diffkit.evaluation.shares import shares
from diffkit.models.reconstruct import to_pictures


def measure_vae(
    pipe: Any, n: int = 256, photos: str | Path | None = None, pictures: int = 40, say: Say = quiet
) -> dict[str, dict[str, float]]:
    """Measures a VAE.

    Args:
        pipe: a pipeline with the VAE.
        n: drawn pictures of each kind, plain and with patterns.
        photos: a folder of photographs, with its sub-folders; each is cropped to its middle square.
        pictures: of each concept: half on the backgrounds of its example pictures, half on others.
        say: called with a line of progress.

    Returns:
        Results by kind: ``plain``, ``textured``, ``all`` (both together), ``concepts`` (the share that is
        recognised, of all and by name) and, with a folder, ``photos`` (PSNR in dB).
    """
    side = resolution(pipe)
    samples, found = {}, {}
    for kind, textured in (("plain", 0.0), ("textured", 1.0)):
        say(f"VAE: {n} {kind} drawings")
        samples[kind] = _drawings(pipe, ShapesScenes(n, side, textured=textured))
    samples["all"] = [sample for kind in tuple(samples) for sample in samples[kind]]
    for kind, of_kind in samples.items():
        found[kind] = score(ReconstructionAccuracy(side), of_kind)
    say(f"VAE: {pictures} pictures of each concept")
    hits = {name: recognised(pipe, name, _examples(name, pictures, side)) for name in CONCEPTS}
    found["concepts"] = shares({"all": [hit for each in hits.values() for hit in each], **hits})
    if photos is not None:
        found["photos"] = measure_photos(pipe, photos)
    return found


def resolution(pipe: Any) -> int:
    """The side of the pipeline's pictures, in pixels."""
    return int(pipe.unet.config.sample_size * pipe.vae_scale_factor)


def recognised(pipe: Any, concept: str, pictures: Sequence[np.ndarray]) -> list[bool]:
    """For each picture, whether the analyser finds the concept in it after the VAE."""
    side = pictures[0].shape[0]
    return [concept_hit(picture, concept, side)["hit"] for picture in through_vae(pipe, pictures)]


def measure_photos(pipe: Any, folder: str | Path) -> dict[str, float]:
    """PSNR in dB of photographs, reduced to the pipeline's size, after the VAE: mean, error and number."""
    originals = read_photos(folder, resolution(pipe))
    after = through_vae(pipe, originals)
    metric = ReconstructionAccuracy()
    pairs = zip(originals, after, strict=True)
    return score(metric, [{"image": image, "original": original} for original, image in pairs])


def read_photos(folder: str | Path, side: int) -> list[np.ndarray]:
    """The photographs of a folder and its sub-folders as uint8 squares; bad files raise BadImageError."""
    listing = list_images(folder, "photos", recursive=True)
    transforms = default_transforms(side, center_crop=True, hflip=0.0)
    rng = np.random.default_rng(0)  # nothing is random with these settings
    pictures = [transforms(Picture.of(open_image(listing.root / name)), rng) for name in listing.images]
    return [to_pictures(torch.as_tensor(picture.image)[None])[0] for picture in pictures]


def _drawings(pipe: Any, scenes: ShapesScenes) -> list[dict[str, Any]]:
    originals = [scenes.picture(i) for i in range(len(scenes))]
    after = through_vae(pipe, originals)
    return [
        {"image": image, "original": original, "expected": scenes[i]["expected"]}
        for i, (original, image) in enumerate(zip(originals, after, strict=True))
    ]


def _examples(name: str, n: int, side: int) -> list[np.ndarray]:
    half = max(1, n // 2)
    return concept_images(name, half, 1, side) + concept_images(name, half, 1, side, unseen=True)
