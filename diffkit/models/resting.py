"""Encoders that rest: their weights wait elsewhere until they run, which caches make rare."""

from collections.abc import Mapping
from typing import get_args

from torch import Tensor, nn

from diffkit.models.frozen import is_frozen
from diffkit.models.offload import OffloadedWeights, Place


class RestingParts:
    """Takes the weights out of the frozen VAE and text encoders of a model, and gives them back while these run.

    Each half of the VAE, and each text encoder, is fetched as a whole: to encode what is in no cache, to sample, to
    export. What they compute is the same bit for bit.

    Args:
        components: networks of the model by name; those that are trained stay where they are.
        place: of ``model.offload``.

    Raises:
        ValueError: ``place`` is none of those allowed.
    """

    def __init__(self, components: Mapping[str, nn.Module], place: Place | None) -> None:
        if place not in (None, *get_args(Place)):
            raise ValueError(f"model.offload is {place!r}; allowed: None, {', '.join(map(repr, get_args(Place)))}.")
        self.place = place
        self.weights: dict[str, OffloadedWeights] = {}
        for name, part in components.items() if place is not None else ():
            if is_frozen(part):
                self.weights[name] = OffloadedWeights(part, place, _units(name, part))  # type: ignore[arg-type]

    def rows(self) -> list[tuple[str, str]]:
        """A line for the table before a training, where anything rests."""
        if not self.weights:
            return []
        where = "on disk" if self.place == "disk" else "in the memory of the host"
        return [("resting", f"{', '.join(self.weights)}: {where}, until they run")]

    def value(self, component: str, name: str, tensor: Tensor) -> Tensor:
        """A tensor of a component with its values, also where it rests and ``tensor`` holds none."""
        weights = self.weights.get(component)
        return weights[name] if weights is not None and name in weights else tensor

    @property
    def nbytes(self) -> int:
        """Bytes of all weights that rest."""
        return sum(weights.nbytes for weights in self.weights.values())


def _units(name: str, part: nn.Module) -> list[str]:
    """What is fetched at once: of a VAE its children, for it is not run as a whole; else all."""
    if name != "vae":
        return [""]
    return [child for child, module in part.named_children() if any(True for _ in module.parameters())]
