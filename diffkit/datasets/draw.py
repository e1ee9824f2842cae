"""The item that a sampler hands to a dataset: which sample, and the seed of everything random about it."""

from typing import NamedTuple


class Draw(NamedTuple):
    """One draw of a training run.

    Attributes:
        index: the sample, in ``range(len(dataset))``.
        seed: of every random choice of this draw (crop, flip, wording, caption dropout), in ``range(2**63)``.
    """

    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody needs here
    seed: int


def as_draw(item: "int | Draw") -> Draw:
    """Returns ``item`` as a Draw; a plain index is its own seed, so that evaluation repeats itself."""
    return item if isinstance(item, Draw) else Draw(int(item), int(item))
