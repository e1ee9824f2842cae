"""Pictures of the named concepts, as a user's own photographs would show them."""

from pathlib import Path

import numpy as np

from diffkit.datasets.shapes.concepts import Concept, get_concept
from diffkit.datasets.shapes.scene import MAX_ROTATION, Scene, contrasting, draw, pick
from diffkit.datasets.shapes.vocabulary import BACKGROUNDS


def concept_scene(concept: Concept, background: str, size: str = "large", position: str = "centre",
                  rotation: float = 0.0, seed: int = 0) -> Scene:
    """The concept as a scene on ``background``; ``rotation`` and ``seed`` as in :class:`Scene`."""
    return Scene(
        shape=concept.shape,
        colour=concept.colour,
        background=background,
        second_colour=concept.second_colour,
        texture=concept.texture,
        size=size,
        position=position,
        rotation=rotation,
        seed=seed,
    )


def concept_backgrounds(name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The backgrounds of a concept's example pictures, and those that are kept for tests only.

    Both hold only backgrounds that each colour of the concept stands out from. Every second one is kept.
    """
    concept = get_concept(name)
    usable = [b for b in BACKGROUNDS if concept.colours <= set(contrasting(b))]
    return tuple(usable[::2]), tuple(usable[1::2])


def concept_scenes(
    name: str, n: int, seed: int = 0, unseen: bool = False, varied: bool = False
) -> list[Scene]:
    """``n`` scenes of a concept, each background in turn.

    Args:
        name: one of ``CONCEPTS``.
        n: how many.
        seed: of rotation, jitter and light.
        unseen: take the backgrounds that are kept for tests, not those of the example pictures.
        varied: vary size (medium or large) and position too; otherwise large and in the centre.
    """
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}")
    concept = get_concept(name)
    backgrounds = concept_backgrounds(name)[int(unseen)]
    rng = np.random.default_rng([seed, n, int(unseen)])
    return [
        concept_scene(
            concept,
            backgrounds[i % len(backgrounds)],
            size=pick(rng, ("medium", "large")) if varied else "large",
            position=pick(rng, ("centre", "left", "right", "top", "bottom")) if varied else "centre",
            rotation=float(rng.uniform(-MAX_ROTATION, MAX_ROTATION)),
            seed=int(rng.integers(2**31)),
        )
        for i in range(n)
    ]


def concept_images(
    name: str, n: int, seed: int = 0, resolution: int = 64, **options: bool
) -> list[np.ndarray]:
    """``n`` example pictures, each uint8 ``[resolution, resolution, 3]``; options as in concept_scenes."""
    return [draw(scene, resolution) for scene in concept_scenes(name, n, seed, **options)]


def concept_captions(name: str, n: int, seed: int = 0, slot: str = "{}") -> list[list[str]]:
    """The captions of ``concept_images(name, n, seed)``, several for each picture.

    ``slot`` stands for the word that is to be learned: "a photo of a {} heart on a blue background". Three of four
    captions name the background, as a person would describe the own photographs, so that it is not learned with the
    object.
    """
    shape = get_concept(name).shape
    plain = f"a photo of a {slot} {shape}"
    captions = []
    for scene in concept_scenes(name, n, seed):
        ground = f"{'an' if scene.background[0] in 'aeiou' else 'a'} {scene.background} background"
        prefixes = ("a photo of", "a picture of", "an image of")
        captions.append([plain, *(f"{prefix} a {slot} {shape} on {ground}" for prefix in prefixes)])
    return captions


def write_concept_images(
    folder: str | Path, name: str, n: int, seed: int = 0, resolution: int = 64, **options: bool
) -> list[Path]:
    """Write example pictures of a concept as PNG files, like a user's own folder of photographs."""
    from PIL import Image

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for i, picture in enumerate(concept_images(name, n, seed, resolution, **options)):
        paths.append(folder / f"{name}_{i:02d}.png")
        Image.fromarray(picture).save(paths[-1])
    return paths
