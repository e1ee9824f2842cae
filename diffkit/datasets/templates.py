"""Sentences that a new word is shown in: ``{}`` is where the word stands."""

from collections.abc import Sequence
from pathlib import Path

from diffkit.datasets.prompt_source import SLOT

#: What is learned -> the sentences to learn it in. They name much that pictures differ in beside the thing itself.
TEMPLATES: dict[str, tuple[str, ...]] = {
    "object": (
        "a photo of a {}",
        "a photo of the {}",
        "a picture that shows a {}",
        "a snapshot of the {} at home",
        "a sharp photo of a {}",
        "a blurred photo of the {}",
        "a photo of the whole {}",
        "a photo of a part of the {}",
        "the {} seen from nearby",
        "a {} seen from far away",
        "the {} in the middle of the picture",
        "a {} at the edge of the picture",
        "a bright picture of the {}",
        "a dark picture of a {}",
        "a {} in front of a plain wall",
        "a {} on a table",
        "a {} held in a hand",
        "an old photo of a {}",
        "a studio photo of the {}",
        "a photo of one single {}",
        "here is my {}",
        "a nice photo of the {}",
    ),
    "style": (
        "a painting in the style of {}",
        "a drawing in the style of {}",
        "a picture in the style of {}",
        "a landscape in the style of {}",
        "a portrait in the style of {}",
        "a still life in the style of {}",
        "a street scene in the style of {}",
        "a house in the style of {}",
        "an animal in the style of {}",
        "flowers in the style of {}",
        "a small sketch in the style of {}",
        "a large canvas in the style of {}",
        "a detail of a work in the style of {}",
        "a bright work in the style of {}",
        "a dark work in the style of {}",
        "a colourful work in the style of {}",
        "a quiet work in the style of {}",
        "a work of art that looks like {}",
        "painted in the manner of {}",
        "a painting in {} style",
        "a picture in {} style",
    ),
    "face": (
        "a photo of {}",
        "a portrait of {}",
        "a photo of the face of {}",
        "the face of {} from nearby",
        "{} looks into the camera",
        "{} looks to the side",
        "{} smiles",
        "a serious {}",
        "{} outdoors in daylight",
        "{} indoors by a window",
        "a bright portrait of {}",
        "a dark portrait of {}",
        "a sharp photo of {}",
        "a blurred photo of {}",
        "a passport photo of {}",
        "a studio portrait of {}",
        "a snapshot of {} with friends",
        "head and shoulders of {}",
        "an old photo of {}",
        "this is {}",
    ),
}


def choose_templates(
    learnable_property: str | None,
    template_file: str | Path | None,
    instance_prompt: str | Sequence[str] | None = None,
    placeholder: str | None = None,
) -> list[str]:
    """The sentences of a dataset; none where neither a property nor a file asks for them.

    Args:
        learnable_property: ``object``, ``style`` or ``face``, in small or capital letters.
        template_file: a text file of one's own.
        instance_prompt: what the user gave beside them.
        placeholder: the word that will take the place of ``{}``.

    Raises:
        ValueError: the property is unknown, the file cannot be used, or the arguments exclude each other.
    """
    if learnable_property is None and template_file is None:
        return []
    name = "template_file" if learnable_property is None else "learnable_property"
    if learnable_property is not None and template_file is not None:
        raise ValueError("learnable_property and template_file both bring the prompts: give one of them")
    if instance_prompt is not None:
        raise ValueError(f"instance_prompt and {name} both bring the prompts: give one of them")
    if placeholder is None:
        raise ValueError(f"{name} needs placeholder: the word that takes the place of {SLOT}")
    if template_file is not None:
        return read_templates(template_file)
    chosen = str(learnable_property).lower()
    if chosen not in TEMPLATES:
        raise ValueError(f"learnable_property must be one of {', '.join(TEMPLATES)}, got {learnable_property!r}")
    return list(TEMPLATES[chosen])


def read_templates(file: str | Path) -> list[str]:
    """Reads a file with one sentence a line; empty lines are passed over.

    Raises:
        ValueError: it does not exist, is empty or not UTF-8, or a line, which is named, has no ``{}``.
    """
    path = Path(file).expanduser()
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"template_file={str(file)!r} cannot be read: {error}") from None
    found = []
    for number, line in enumerate(map(str.strip, lines), start=1):
        if line and SLOT not in line:
            raise ValueError(f"template_file={str(file)!r}, line {number} has no {SLOT} for the placeholder: {line!r}")
        found += [line] if line else []
    if not found:
        raise ValueError(f"template_file={str(file)!r} holds no template: write one a line, as 'a photo of a {SLOT}'")
    return found
