"""Named objects that training never shows: what a user of DreamBooth or textual inversion teaches a model."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Concept:
    """One object: a shape with its colours and texture, on any background."""

    name: str
    shape: str
    colour: str
    second_colour: str | None = None
    texture: str = "plain"

    @property
    def colours(self) -> frozenset[str]:
        """The one or two colours of the object."""
        return frozenset({self.colour} | ({self.second_colour} if self.second_colour else set()))

    @property
    def description(self) -> str:
        """The object in words, for instance ``"purple and white striped heart"``."""
        if self.second_colour is None:
            return f"{self.colour} {self.shape}"
        return f"{self.colour} and {self.second_colour} {self.texture} {self.shape}"


#: The concepts by name. The last is plain: one of the held-out (shape, colour) pairs.
CONCEPTS = {
    concept.name: concept
    for concept in (
        Concept("striped_heart", "heart", "purple", "white", "striped"),
        Concept("striped_ring", "ring", "orange", "blue", "striped"),
        Concept("striped_square", "square", "green", "pink", "striped"),
        Concept("checked_circle", "circle", "black", "yellow", "checked"),
        Concept("checked_diamond", "diamond", "white", "blue", "checked"),
        Concept("dotted_square", "square", "red", "white", "dotted"),
        Concept("dotted_circle", "circle", "green", "yellow", "dotted"),
        Concept("cyan_triangle", "triangle", "cyan"),
    )
}
_TAKEN = frozenset((c.shape, c.colours, c.texture) for c in CONCEPTS.values())


def get_concept(name: str) -> Concept:
    """The concept called ``name``."""
    if name not in CONCEPTS:
        raise ValueError(f"concept must be one of {', '.join(CONCEPTS)}, got {name!r}")
    return CONCEPTS[name]


def is_concept(shape: str, colours: frozenset[str], texture: str) -> bool:
    """Whether an object is a concept; which of two colours is the pattern's makes no difference."""
    return (shape, colours, texture) in _TAKEN
