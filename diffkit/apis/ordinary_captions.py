"""Captions of ordinary things: what a merged model shall go on to understand as before."""

from pathlib import Path

_THINGS = ("dog", "cat", "man", "woman", "child", "horse", "bird", "fish", "car", "bicycle", "train", "boat", "house",
           "castle", "bridge", "tree", "flower", "mountain", "river", "table", "chair", "lamp", "book", "cup", "plate",
           "apple", "cake", "shirt", "shoe", "clock", "guitar", "camera", "painting", "statue", "robot", "toy")
_LOOKS = ("small", "large", "red", "blue", "green", "old", "new", "wooden", "black and white", "colourful", "beautiful")
_PLACES = ("on a table", "in a garden", "at the beach", "in the snow", "on a street at night", "in front of a wall",
           "in a forest", "near a lake", "under a blue sky", "in a room", "on a hill", "in the rain", "at sunset")
_KINDS = ("a photo of a", "a close photo of the", "a drawing of a", "an oil painting of a", "a picture of two")
#: How many captions a merge is made with, as in the reference.
COUNT = 200


def ordinary_captions(count: int = COUNT) -> list[str]:
    """Different captions of ordinary things, always the same ones."""
    return [f"{_KINDS[i % 5]} {_LOOKS[i % 11]} {_THINGS[i % 36]} {_PLACES[i % 13]}" for i in range(count)]


def read_ordinary(source: str | Path | None) -> list[str]:
    """The captions of a text file, one a line, at most 200; or those of scenes of the shapes world.

    Args:
        source: the file, ``shapes:scenes``, or None for :func:`ordinary_captions`.

    Raises:
        ValueError: the file cannot be read, or is empty.
    """
    if source is None:
        return ordinary_captions()
    if str(source) == "shapes:scenes":
        from diffkit.datasets.shapes import ShapesDataset

        world = ShapesDataset(COUNT)
        return [str(world[i]["prompt"]) for i in range(COUNT)]
    try:
        lines = Path(source).expanduser().read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"ordinary={str(source)!r} cannot be read: {error}") from None
    found = [line.strip() for line in lines if line.strip()][:COUNT]
    if not found:
        raise ValueError(f"ordinary={str(source)!r} has no caption: write one a line.")
    return found
