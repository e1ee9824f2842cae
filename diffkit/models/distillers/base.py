"""A distiller compares the student with a teacher on the same noisy latents, timesteps and text."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

from torch import Tensor, nn

from diffkit.models.step import Step
from diffkit.utils.sharded import ShardedNetwork

if TYPE_CHECKING:
    from diffkit.models.latent_diffusion import LatentDiffusion


class Distiller(nn.Module, ABC):
    """Fills the ``distiller`` slot of :class:`~diffkit.models.LatentDiffusion`.

    Attributes:
        source: what the teacher was loaded from; None where it is a copy of the model that is trained.
    """

    source: str | None = None

    def check(self, before: Mapping[str, nn.Module], after: Mapping[str, nn.Module]) -> None:
        """Looks whether this distiller fits networks, before their weights are read; all fit, by default.

        Args:
            before: the networks by name, as they are loaded; they may lie on the meta device, without values.
            after: the same after the pruner.

        Raises:
            ValueError: it does not fit.
        """
        return

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

    def shard(self, spread: Callable[[nn.Module], ShardedNetwork]) -> None:
        """Lets ``spread`` share the weights of a teacher out over the processes; there are none, by default."""
        return

    @contextmanager
    def shown(self, model: "LatentDiffusion") -> Iterator[None]:
        """Puts the teacher in the student's place inside ``with``: it paints pictures to learn from."""
        yield

    def frozen_tensors(self) -> Mapping[str, Tensor]:
        """The teacher's weights by name: no checkpoint holds them, so a resumed training compares their hash."""
        return {}

    def describe(self) -> str:
        """One line for the table that is printed before training."""
        return type(self).__name__
