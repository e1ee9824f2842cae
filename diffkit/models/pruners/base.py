"""A pruner replaces a component by a smaller one that begins with the larger one's weights."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from diffkit.models.latent_diffusion import LatentDiffusion


class Pruner(ABC):
    """Fills the ``pruner`` slot of :class:`~diffkit.models.LatentDiffusion`."""

    @abstractmethod
    def apply(self, model: "LatentDiffusion") -> None:
        """Puts the smaller component in the larger one's place, frozen."""
