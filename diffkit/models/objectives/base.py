"""An objective turns a batch into the terms of the loss."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

if TYPE_CHECKING:
    from diffkit.models.latent_diffusion import LatentDiffusion


class Objective(nn.Module, ABC):
    """Fills the ``objective`` slot of :class:`~diffkit.models.LatentDiffusion`."""

    @abstractmethod
    def losses(self, model: "LatentDiffusion", batch: dict[str, Any]) -> dict[str, Tensor]:
        """Returns scalars; those named ``loss_*`` are summed and trained on, the others are logged.

        Args:
            model: the model whose components are run.
            batch: what :func:`diffkit.datasets.collate_samples` makes.
        """

    def before_export(self, model: "LatentDiffusion") -> None:
        """Writes into the components' configs what this objective learned about them: nothing, by default."""
