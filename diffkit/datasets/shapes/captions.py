"""Captions of scenes, and which attributes of a scene a caption names."""

from dataclasses import dataclass

import numpy as np

from diffkit.datasets.shapes.scene import Scene, pick
from diffkit.datasets.shapes.vocabulary import ENDINGS, IDENTIFIERS, NOUNS, PREFIXES

#: How often a caption leaves an attribute out.
DROP_COLOUR = 0.10
DROP_SHAPE = 0.03
DROP_SIZE = 0.45
DROP_POSITION = 0.25
DROP_CENTRE = 0.70  # "in the centre" is what a caption without a position means most of the time
DROP_BACKGROUND = 0.15
#: How often a caption has a word without a meaning, and how often it calls a plain object "plain".
FILLER = 0.15
SAY_PLAIN = 0.08


@dataclass(frozen=True)
class Wording:
    """What a caption says: attributes that are named, and words around them."""

    prefix: str = "a photo of"
    identifier: str = ""
    noun: str = "object"
    ending: str = ""
    shape: bool = True
    colour: bool = True
    texture: bool = True
    size: bool = True
    position: bool = True
    background: bool = True


def article(words: str) -> str:
    """The words after "a" or "an"."""
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def place(position: str) -> str:
    """A position in words: ``"in the centre"``, ``"at the top left"``."""
    return f"{'in' if position == 'centre' else 'at'} the {position}"


def write(scene: Scene, wording: Wording) -> str:
    """Write the caption of a scene as ``wording`` says.

    ``Wording.texture`` of a plain object writes "plain".
    """
    colours = scene.colour if scene.second_colour is None else f"{scene.colour} and {scene.second_colour}"
    adjectives = [
        wording.identifier,
        scene.size if wording.size else "",
        colours if wording.colour else "",
        scene.texture if wording.texture else "",
        scene.shape if wording.shape else wording.noun,
    ]
    words = [wording.prefix, article(" ".join(word for word in adjectives if word))]
    if wording.position:
        words.append(place(scene.position))
    if wording.background:
        words.append(f"on {article(scene.background)} background")
    words.append(wording.ending)
    return " ".join(word for word in words if word)


def random_wording(scene: Scene, rng: np.random.Generator) -> Wording:
    """Draw what a training caption says of a scene: each attribute is sometimes left out."""
    identifier = ending = ""
    if rng.random() < FILLER:
        # An identifier is more useful than an ending: prompts of personalised models have one.
        if rng.random() < 0.7:
            identifier = pick(rng, IDENTIFIERS)
        else:
            ending = pick(rng, ENDINGS)
    colour = rng.random() >= (0.3 if identifier else DROP_COLOUR)
    shape = rng.random() >= DROP_SHAPE
    if scene.texture == "plain":
        texture = rng.random() < SAY_PLAIN
    else:
        texture = rng.random() >= DROP_COLOUR / 2
    return Wording(
        prefix=pick(rng, PREFIXES),
        identifier=identifier,
        noun=pick(rng, NOUNS),
        ending=ending,
        shape=shape,
        colour=colour,
        texture=texture,
        size=rng.random() >= DROP_SIZE,
        position=rng.random() >= (DROP_CENTRE if scene.position == "centre" else DROP_POSITION),
        background=rng.random() >= DROP_BACKGROUND,
    )


def caption(scene: Scene, rng: np.random.Generator) -> str:
    """A training caption of a scene: ``"a photo of a large red circle at the left on a blue background"``."""
    return write(scene, random_wording(scene, rng))


def full_wording(scene: Scene) -> Wording:
    """The wording with nothing left out. "Plain" is not said: an object without pattern is the usual case."""
    return Wording(texture=scene.texture != "plain")


def full_caption(scene: Scene) -> str:
    """The caption with nothing left out; it begins with "a photo of"."""
    return write(scene, full_wording(scene))


def expected(scene: Scene, wording: Wording) -> dict[str, str]:
    """The attributes that a caption names, and their values.

    The keys are among shape, colour, second_colour, texture, size, position and background. An analyser can
    be asked for exactly these; about the others the caption says nothing.
    """
    values: dict[str, str] = {}
    for name in ("shape", "colour", "texture", "size", "position", "background"):
        if getattr(wording, name):
            values[name] = getattr(scene, name)
    if wording.colour and scene.second_colour is not None:
        values["second_colour"] = scene.second_colour
    return values
