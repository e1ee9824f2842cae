"""A quantizer changes the number format of a component's layers."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from diffkit.export.artifacts import Artifact

if TYPE_CHECKING:
    from diffkit.export.quantized.proof import Proof
    from diffkit.models.latent_diffusion import LatentDiffusion
    from diffkit.models.tuners.base import Tuner


class Quantizer(ABC):
    """Fills the ``quantizer`` slot of :class:`~diffkit.models.LatentDiffusion`.

    Attributes:
        proof: what the model that is saved next gave for some inputs, to be written beside it; or None.
    """

    proof: "Proof | None" = None

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

    def calibrate(self, model: "LatentDiffusion", prompts: Sequence[str], seed: int = 0, batch_size: int = 4,
                  **settings: Any) -> None:
        """Finds ranges on what the layers see while the float model samples ``prompts``; nothing, by default.

        Args:
            model: the model; its weights are not changed.
            prompts: one picture is sampled for each.
            seed: of the first picture.
            batch_size: pictures at once.
            settings: of :class:`~diffkit.models.generation.GenerationSettings`.
        """
        return

    def calibration_report(self, model: "LatentDiffusion", prompts: int) -> list[str]:
        """Lines for the log on what :meth:`calibrate` has found on so many prompts."""
        return [f"Calibrated {len(self.state(model))} ranges on {prompts} prompts."]

    def after_step(self, model: "LatentDiffusion", iteration: int) -> None:
        """Called in all processes after each iteration of a training (counted from 0); nothing, by default."""
        return

    def layers(self, model: "LatentDiffusion") -> Mapping[str, Any]:
        """The quantised layers by their names in the component; each has a switch ``quantizing``."""
        raise NotImplementedError(f"{type(self).__name__} cannot be switched off.")

    @contextmanager
    def disabled(self, model: "LatentDiffusion") -> Iterator[None]:
        """Lets the model compute in floats inside ``with``."""
        layers = list(self.layers(model).values())
        before = [layer.quantizing for layer in layers]
        for layer in layers:
            layer.quantizing = False
        try:
            yield
        finally:
            for layer, value in zip(layers, before, strict=True):
                layer.quantizing = value

    def scale_parameters(self, model: "LatentDiffusion") -> dict[str, nn.Parameter]:
        """Scales that are trained, by full name; none, by default."""
        return {}

    def holds(self, tuner: "Tuner") -> bool:
        """Whether :meth:`artifact` contains what ``tuner`` has trained, so that the tuner's own is not written."""
        return False


def sample_floats(quantizer: Quantizer, model: "LatentDiffusion", prompts: Sequence[str], seed: int, batch_size: int,
                  **settings: Any) -> None:
    """Lets the float model paint each prompt once, for those who watch its layers; see :meth:`Quantizer.calibrate`."""
    with model.sampling(), quantizer.disabled(model):
        for first in range(0, len(prompts), batch_size):
            part = prompts[first:first + batch_size]
            model.generate(part, seeds=[seed + first + i for i in range(len(part))], **settings)
