"""How much the rounding of each quantised layer matters: the error when only it, or all but it, is quantised."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from diffkit.evaluation.reconstruction import psnr

if TYPE_CHECKING:
    from diffkit.models.latent_diffusion import LatentDiffusion


class QuantizationSensitivity:
    """Compares a calibrated model, some of whose layers are quantised, with the same in floats.

    All see the same noisy latents and the same sampling noise.

    Args:
        model: the model; its quantizer knows its ``layers`` and has calibrated them. It stays as it is.
        batches: of a training dataset.
        prompts: what is painted; none paints nothing.
        seeds: one for each prompt.
    """

    def __init__(self, model: "LatentDiffusion", batches: Sequence[dict[str, Any]], prompts: Sequence[str] = (),
                 seeds: Sequence[int] = ()) -> None:
        self.model, self.prompts, self.seeds = model, list(prompts), list(seeds)
        self.layers: dict[str, Any] = model.quantizer.layers(model)  # type: ignore[union-attr]
        with model.sampling(), self.quantized(()):
            self.steps = [model.objective.prepare(model, batch) for batch in batches]  # type: ignore[attr-defined]
            self.outputs = self._predict()
            self.pictures = self._paint()

    @property
    def samples(self) -> int:
        """How many noisy latents the errors are means of."""
        return sum(len(output) for output in self.outputs)

    def error(self, names: Collection[str]) -> float:
        """The mean squared error of the prediction with these layers quantised, as a share of the float's square."""
        with self.model.sampling(), self.quantized(names):
            outputs = self._predict()
        wrong = torch.cat([(a - b).flatten() for a, b in zip(outputs, self.outputs, strict=True)])
        return float(wrong.square().mean() / torch.cat([each.flatten() for each in self.outputs]).square().mean())

    def psnr(self, names: Collection[str]) -> float:
        """The mean PSNR of pictures with these layers quantised to those in floats, in dB.

        Raises:
            ValueError: nothing is painted.
        """
        if not self.pictures:
            raise ValueError("no prompts were given: there are no pictures to compare.")
        with self.model.sampling(), self.quantized(names):
            pictures = self._paint()
        return float(np.mean([psnr(a, b) for a, b in zip(pictures, self.pictures, strict=True)]))

    def of(self, name: str) -> dict[str, float]:
        """What one layer does.

        Returns:
            ``only``: the error when it alone is quantised; ``without``: when all but it are; ``psnr``: of pictures
            when all but it are, where there are any.
        """
        others = [other for other in self.layers if other != name]
        found = {"only": self.error([name]), "without": self.error(others)}
        if self.pictures:
            found["psnr"] = self.psnr(others)
        return found

    @contextmanager
    def quantized(self, names: Collection[str]) -> Iterator[None]:
        """Inside the body the layers of these names are quantised, and no others."""
        before = {name: layer.quantizing for name, layer in self.layers.items()}
        chosen = set(names)
        for name, layer in self.layers.items():
            layer.quantizing = name in chosen
        try:
            yield
        finally:
            for name, layer in self.layers.items():
                layer.quantizing = before[name]

    def _predict(self) -> list[Tensor]:
        return [self.model.predict(step.noisy_latents, step.timesteps, step.conditioning) for step in self.steps]

    def _paint(self) -> list[np.ndarray]:
        if not self.prompts:
            return []
        return [np.asarray(image) for image in self.model.generate(self.prompts, seeds=self.seeds)]
