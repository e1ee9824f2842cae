"""A tuner decides what is trained. All is frozen before the first one acts."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from torch import nn

from diffkit.export.artifacts import Artifact
from diffkit.utils.near import did_you_mean

if TYPE_CHECKING:
    from diffkit.models.latent_diffusion import LatentDiffusion


class Tuner(ABC):
    """Makes a part of one component trainable.

    Args:
        component: the name of a component: ``unet``, ``vae``, ``text_encoder`` or ``text_encoder_2``.

    Attributes:
        can_shard: whether what it trains may be spread over processes (``ShardedDataParallel``): its parameters are
            those of the network, it keeps none of them, and what it adds is called as a module.
    """

    can_shard = False

    def __init__(self, component: str) -> None:
        self.component = component

    def module(self, model: "LatentDiffusion") -> nn.Module:
        """The component that this tuner acts on.

        Raises:
            ValueError: the model has no component of that name.
        """
        return self.pick(model.components)

    def pick(self, components: Mapping[str, nn.Module]) -> nn.Module:
        """The same, of networks by name.

        Raises:
            ValueError: there is none of that name.
        """
        if self.component not in components:
            raise ValueError(f"{type(self).__name__}: component is {self.component!r}, which this family lacks; it has "
                             f"{', '.join(components)}{did_you_mean(self.component, components)}")
        return components[self.component]

    def check(self, components: Mapping[str, nn.Module]) -> None:
        """Looks whether this tuner fits networks, before their weights are read.

        Args:
            components: the networks by name; they may lie on the meta device, without values.

        Raises:
            ValueError: it does not fit.
        """
        self.pick(components)

    @abstractmethod
    def apply(self, model: "LatentDiffusion") -> None:
        """Adds what is to be trained and sets ``requires_grad`` on it, and on nothing else."""

    @abstractmethod
    def artifact(self, model: "LatentDiffusion") -> Artifact:
        """What a checkpoint shows to users of this tuner's work."""

    @abstractmethod
    def describe(self) -> str:
        """One line for the table that is printed before training."""

    def statistics(self) -> dict[str, float]:
        """Figures on what is trained, by name, to be logged during the training; none, by default."""
        return {}

    def check_prompts(self, prompts: Iterable[str]) -> None:
        """Raises ValueError where training with these prompts would be in vain; all are fine, by default."""
        return

    @contextmanager
    def disabled(self, model: "LatentDiffusion") -> Iterator[None]:
        """Switches this tuner's work off inside ``with``, where it can be: the base model shows again.

        Raises:
            NotImplementedError: the base weights themselves were trained.
        """
        raise NotImplementedError(f"{type(self).__name__} changes the base weights: they cannot be switched off.")
        yield
