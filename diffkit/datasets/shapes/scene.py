"""Scenes of the shapes world: what a picture shows, drawn at random or by hand, and the drawing itself."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

import numpy as np

from diffkit.datasets.shapes.colour_space import palette_lab
from diffkit.datasets.shapes.concepts import is_concept
from diffkit.datasets.shapes.distance import DISTANCES, pattern_mix
from diffkit.datasets.shapes.vocabulary import (
    BACKGROUNDS,
    COLOURS,
    HELD_OUT,
    PATTERNS,
    POSITIONS,
    SHAPES,
    SIZES,
    TEXTURES,
)

SPLITS = ("train", "heldout", "all")
#: The largest rotation of a random scene, in radians to either side.
MAX_ROTATION = 0.12
#: Two colours that touch are at least this far apart in Lab.
MIN_CONTRAST = 40.0

_OFFSET = 0.42  # from the picture's middle to the object's, before the object is kept inside
_OFFSET_JITTER = 0.05
_MARGIN = 0.04
_POSITION_WEIGHTS = (0.36, *(0.11,) * 4, *(0.05,) * 4)
_SHADOW_SHIFT = (0.04, 0.05)

Choice = TypeVar("Choice")


@dataclass(frozen=True)
class Scene:
    """All that decides a picture; equal scenes give equal pictures.

    Attributes:
        shape: one of ``SHAPES``.
        colour: colour of the object, one of ``COLOURS``; under a pattern, the colour below.
        background: one of ``BACKGROUNDS``.
        second_colour: colour of the pattern; None exactly when the texture is plain.
        texture: one of ``TEXTURES``.
        size: one of ``SIZES``.
        position: one of ``POSITIONS``.
        rotation: in radians, clockwise.
        seed: decides what no word describes: the exact size and place, colour jitter and light.
    """

    shape: str
    colour: str
    background: str
    second_colour: str | None = None
    texture: str = "plain"
    size: str = "medium"
    position: str = "centre"
    rotation: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        allowed: list[tuple[str, Sequence[str]]] = [
            ("shape", SHAPES),
            ("colour", tuple(COLOURS)),
            ("background", tuple(BACKGROUNDS)),
            ("texture", TEXTURES),
            ("size", tuple(SIZES)),
            ("position", tuple(POSITIONS)),
        ]
        for name, values in allowed:
            if getattr(self, name) not in values:
                raise ValueError(f"{name} must be one of {', '.join(values)}, got {getattr(self, name)!r}")
        if self.texture == "plain" and self.second_colour is not None:
            raise ValueError(f"second_colour must be None for a plain texture, got {self.second_colour!r}")
        if self.texture != "plain" and self.second_colour not in COLOURS:
            names = ", ".join(COLOURS)
            raise ValueError(
                f"second_colour must be one of {names} for a {self.texture} texture, "
                f"got {self.second_colour!r}"
            )

    @property
    def colours(self) -> frozenset[str]:
        """The one or two colours of the object."""
        return frozenset({self.colour} | ({self.second_colour} if self.second_colour else set()))

    @property
    def held_out(self) -> bool:
        """Whether the shape has a colour that training never shows on it."""
        return any((self.shape, colour) in HELD_OUT for colour in self.colours)


def pick(rng: np.random.Generator, values: Sequence[Choice]) -> Choice:
    """One of ``values``, each equally likely."""
    return values[int(rng.integers(len(values)))]


@cache
def contrasting(*others: str) -> tuple[str, ...]:
    """The object colours that stand out from each of ``others`` (names of backgrounds or colours)."""
    colours, backgrounds = palette_lab(COLOURS), dict(zip(BACKGROUNDS, palette_lab(BACKGROUNDS), strict=True))
    names = []
    for name, lab in zip(COLOURS, colours, strict=True):
        if all(np.linalg.norm(lab - backgrounds[other]) >= MIN_CONTRAST for other in others):
            names.append(name)
    return tuple(names)


def random_scene(rng: np.random.Generator, split: str = "train", textured: float = 0.35) -> Scene:
    """Draw a scene at random.

    Args:
        rng: the source of everything random.
        split: ``"train"`` leaves out the held-out (shape, colour) pairs and the named concepts,
            ``"heldout"`` has only scenes with a held-out pair, ``"all"`` takes any.
        textured: probability that the object has a pattern, 0..1. An object with a pattern is never small.
    """
    if split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {split!r}")
    if not 0 <= textured <= 1:
        raise ValueError(f"textured must be between 0 and 1, got {textured}")

    texture = pick(rng, PATTERNS) if rng.random() < textured else "plain"
    while True:
        scene = _any_scene(rng, texture)
        if split == "all" or (split == "heldout" and scene.held_out):
            return scene
        if split == "train" and not scene.held_out and not is_concept(scene.shape, scene.colours, scene.texture):
            return scene


def _any_scene(rng: np.random.Generator, texture: str) -> Scene:
    background = pick(rng, tuple(BACKGROUNDS))
    colour = pick(rng, contrasting(background))
    plain = texture == "plain"
    return Scene(
        shape=pick(rng, SHAPES),
        colour=colour,
        background=background,
        second_colour=None if plain else pick(rng, contrasting(background, colour)),
        texture=texture,
        size=pick(rng, tuple(SIZES) if plain else ("medium", "large", "large")),
        position=tuple(POSITIONS)[int(rng.choice(len(POSITIONS), p=_POSITION_WEIGHTS))],
        rotation=float(rng.uniform(-MAX_ROTATION, MAX_ROTATION)),
        seed=int(rng.integers(2**31)),
    )


@cache
def _grid(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """x and y of the pixel centres, each ``[height, width]``: -1..1 along the short side, more along the long one."""
    short = min(height, width)
    lines = [(((np.arange(side) + 0.5) / side * 2 - 1) * (side / short)).astype(np.float32) for side in (height, width)]
    y, x = np.meshgrid(*lines, indexing="ij")
    return x, y


def _jittered(rgb: tuple[int, int, int], rng: np.random.Generator) -> np.ndarray:
    return (np.array(rgb, dtype=np.float32) / 255 + rng.normal(0, 0.015, 3)).astype(np.float32)


def draw(scene: Scene, resolution: int | tuple[int, int] = 64) -> np.ndarray:
    """Draw a scene: uint8 sRGB, ``[height, width, 3]``. The same scene gives the same picture.

    Args:
        scene: what is drawn.
        resolution: side in pixels, or (height, width): then there is more ground at both ends of the long side, and the
            object's size goes by the short one.
    """
    height, width = (resolution, resolution) if isinstance(resolution, int) else resolution
    short = min(height, width)
    if short < 16:
        raise ValueError(f"resolution must be at least 16 pixels, got {resolution}")
    rng = np.random.default_rng(scene.seed)
    x, y = _grid(height, width)
    half = float(rng.uniform(*SIZES[scene.size]))
    centre = []
    for sign, side in zip(POSITIONS[scene.position], (width, height), strict=True):
        room = side / short - half - _MARGIN
        place = _OFFSET * sign * (side / short) + rng.uniform(-_OFFSET_JITTER, _OFFSET_JITTER)
        centre.append(float(np.clip(place, -room, room)))
    unit = half * short / 2  # pixels to one unit of the object's coordinates
    cos, sin = math.cos(scene.rotation) / half, math.sin(scene.rotation) / half
    dx, dy = x - centre[0], y - centre[1]
    along, down = cos * dx + sin * dy, cos * dy - sin * dx
    shift_x, shift_y = _SHADOW_SHIFT
    distance = DISTANCES[scene.shape]
    mask = np.clip(0.5 - unit * distance(along, down), 0, 1)[..., None]
    shadow_at = (along - cos * shift_x - sin * shift_y, down - cos * shift_y + sin * shift_x)
    # Three pixels soft in a picture of 64 pixels, and in proportion in others.
    shadow = np.clip(0.5 - 64 / 2 / 3 * half * distance(*shadow_at), 0, 1)

    background = _jittered(BACKGROUNDS[scene.background], rng)
    angle, strength = rng.uniform(0, 2 * math.pi), rng.uniform(0, 0.07)
    gradient = 1 + strength * (math.cos(angle) * x + math.sin(angle) * y)
    picture = background * (gradient * (1 - 0.25 * shadow))[..., None]

    surface = _jittered(COLOURS[scene.colour], rng)
    if scene.second_colour is not None:
        mix = pattern_mix(scene.texture, along, down, unit)[..., None]
        surface = surface * (1 - mix) + _jittered(COLOURS[scene.second_colour], rng) * mix
    light = 1 + 0.1 * np.clip(-(0.5 * along + 0.8 * down), -1, 1)
    picture = picture * (1 - mask) + surface * light[..., None] * mask
    return np.round(np.clip(picture, 0, 1) * 255).astype(np.uint8)
