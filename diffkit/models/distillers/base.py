"""A distiller compares the student with a teacher on the same noisy latents, timesteps and text."""

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from torch import Tensor, nn

from diffkit.models.step import Step

if TYPE_CHECKING:
    from diffkit.models.latent_diffusion import LatentDiffusion


class Distiller(nn.Module, ABC):
    """Fills the ``distiller`` slot of :class:`~diffkit.models.LatentDiffusion`."""

    @abstractmethod
    def take_teacher(self, model: "LatentDiffusion") -> None:
        """Keeps a frozen teacher; called before the pruner, the tuners and the quantizer act."""

    @abstractmethod
    def attach(self, model: "LatentDiffusion") -> None:
        """Finds the layers that are compared in the finished student; makes connectors trainable."""

    @abstractmethod
    def recording(self) -> AbstractContextManager[None]:
        """Records the student's layers inside ``with``, and nowhere else."""

    @abstractmethod
    def losses(self, step: Step) -> dict[str, Tensor]:
        """Runs the teacher on the step and returns terms named ``loss_*``, each a scalar."""
