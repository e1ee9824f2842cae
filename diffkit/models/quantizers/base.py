"""A quantizer changes the number format of a component's layers."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from torch import Tensor

from diffkit.export.artifacts import Artifact

if TYPE_CHECKING:
    from diffkit.models.latent_diffusion import LatentDiffusion


class Quantizer(ABC):
    """Fills the ``quantizer`` slot of :class:`~diffkit.models.LatentDiffusion`."""

    @abstractmethod
    def apply(self, model: "LatentDiffusion") -> None:
        """Makes the layers compute in the low precision; parameters keep their names."""

    @abstractmethod
    def state(self, model: "LatentDiffusion") -> dict[str, Tensor]:
        """Ranges and scales that a checkpoint must hold, by full name."""

    @abstractmethod
    def load_state(self, model: "LatentDiffusion", state: dict[str, Tensor]) -> None:
        """The inverse of :meth:`state`."""

    @abstractmethod
    def artifact(self, model: "LatentDiffusion") -> Artifact:
        """What a checkpoint shows to users."""
