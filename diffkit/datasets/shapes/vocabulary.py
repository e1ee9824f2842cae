"""The words of the shapes world, and the colours that some of them stand for.

Everything that a picture can show and a caption can say is listed here once. The drawing code, the caption
writer and the analyser all read these tables, so that they cannot disagree.
"""

SHAPES = ("circle", "square", "triangle", "star", "diamond", "cross", "ring", "heart")

#: Colours of objects: name -> sRGB, each channel 0..255.
COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (214, 38, 38),
    "green": (34, 150, 62),
    "blue": (40, 80, 210),
    "yellow": (245, 218, 45),
    "purple": (132, 45, 168),
    "orange": (245, 132, 22),
    "white": (245, 245, 245),
    "black": (24, 24, 24),
    "pink": (250, 150, 192),
    "cyan": (70, 208, 222),
}

#: Colours of backgrounds: those of objects, and grey, which no object has.
BACKGROUNDS: dict[str, tuple[int, int, int]] = {**COLOURS, "grey": (128, 128, 128)}

#: Half of the object's longer side, in units of half the picture's side: name -> (least, most).
#: The gaps between the ranges are what makes the three sizes tell apart.
SIZES: dict[str, tuple[float, float]] = {
    "small": (0.29, 0.34),
    "medium": (0.44, 0.50),
    "large": (0.61, 0.70),
}

#: Centre of the object: name -> (x, y) as signs; x grows to the right and y grows downwards.
POSITIONS: dict[str, tuple[int, int]] = {
    "centre": (0, 0),
    "left": (-1, 0),
    "right": (1, 0),
    "top": (0, -1),
    "bottom": (0, 1),
    "top left": (-1, -1),
    "top right": (1, -1),
    "bottom left": (-1, 1),
    "bottom right": (1, 1),
}

TEXTURES = ("plain", "striped", "dotted", "checked")
PATTERNS = TEXTURES[1:]

#: Openings of a caption. The empty one is as common as a plain label: "a red circle".
PREFIXES = (
    "a photo of",
    "a picture of",
    "a drawing of",
    "an image of",
    "a rendering of",
    "a close-up photo of",
    "",
)

#: Words without a meaning here. Users put them into prompts as identifiers or templates, so their tokens
#: must have been trained. The first group stands before the adjectives, as "sks" does in "a sks heart".
IDENTIFIERS = ("sks", "zwx", "ohwx", "toy", "nice", "clean", "cool")
#: Nouns that stand for a shape that the caption does not name.
NOUNS = ("object", "shape", "toy", "thing")
#: Ends of a caption.
ENDINGS = ("in the style of sks", "in the style of zwx", "sks style", "toy style")

#: (shape, colour) pairs that no training picture shows: one colour for each shape, 8 of the 80 pairs.
HELD_OUT = frozenset(
    {
        ("circle", "purple"),
        ("square", "orange"),
        ("triangle", "cyan"),
        ("star", "green"),
        ("diamond", "red"),
        ("cross", "pink"),
        ("ring", "yellow"),
        ("heart", "blue"),
    }
)


def all_words() -> list[str]:
    """Every word that a caption can contain, sorted; what a tokenizer for this world must know."""
    texts = [*SHAPES, *BACKGROUNDS, *SIZES, *POSITIONS, *TEXTURES, *PREFIXES, *IDENTIFIERS, *NOUNS, *ENDINGS]
    glue = ["a", "an", "and", "at", "in", "the", "on", "background"]
    return sorted({word for text in [*texts, *glue] for word in text.split()})
