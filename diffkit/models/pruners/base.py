"""A pruner replaces a component by a smaller one that begins with the larger one's weights."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from diffkit.models.latent_diffusion import LatentDiffusion


class Pruner(ABC):
    """Fills the ``pruner`` slot of :class:`~diffkit.models.LatentDiffusion`."""

    @abstractmethod
    def preview(self, components: Mapping[str, nn.Module]) -> dict[str, nn.Module]:
        """What the networks will be, before their weights are read.

        Args:
            components: the networks by name; they lie on the meta device, without values, and stay as they are.

        Raises:
            ValueError: this pruner does not fit them.
        """

    @abstractmethod
    def apply(self, model: "LatentDiffusion") -> None:
        """Puts the smaller component in the larger one's place, frozen."""

    def describe(self) -> str:
        """One line for the table that is printed before training."""
        return type(self).__name__
