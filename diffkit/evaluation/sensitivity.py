"""How much each removable part of a UNet matters: what is lost when it is skipped, without any training."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from diffkit.evaluation.reconstruction import psnr
from diffkit.models.pruners.student import prune
from diffkit.models.pruners.units import Unit
from diffkit.models.step import Step

if TYPE_CHECKING:
    from diffkit.models.latent_diffusion import LatentDiffusion


class Sensitivity:
    """Compares UNets with parts removed with the whole one, on the same noisy latents and the same sampling noise.

    Args:
        model: the model; each unit is removed from its UNet, which stays as it is.
        batches: of a training dataset.
        prompts: what is painted; none paints nothing.
        seeds: one for each prompt.
    """

    def __init__(self, model: "LatentDiffusion", batches: Sequence[dict[str, Any]], prompts: Sequence[str] = (),
                 seeds: Sequence[int] = ()) -> None:
        self.model, self.prompts, self.seeds = model, list(prompts), list(seeds)
        self.unet: Any = model.get_submodule("unet")
        with model.sampling():
            self.steps = [model.objective.prepare(model, batch) for batch in batches]  # type: ignore[attr-defined]
            self.outputs = [self._predict(step) for step in self.steps]
            self.pictures = self._paint()

    @property
    def samples(self) -> int:
        """How many noisy latents the losses are means of."""
        return sum(len(step.latents) for step in self.steps)

    def whole(self) -> float:
        """The loss of the whole UNet: the mean squared error of the prediction."""
        return self._mean(output - step.target for step, output in zip(self.steps, self.outputs, strict=True))

    def of(self, unit: Unit) -> dict[str, float]:
        """What is lost without a unit.

        Returns:
            ``loss``: mean squared error of the prediction; ``output_error``: the same between its output and the
            whole UNet's; ``psnr``: of its pictures to the whole UNet's, in dB, where there are any.
        """
        student = prune(self.unet, unit.remove, share=True)
        with self.model.sampling(), self._in_place(student):
            outputs = [self._predict(step) for step in self.steps]
            pictures = self._paint()
        found = {
            "loss": self._mean(output - step.target for step, output in zip(self.steps, outputs, strict=True)),
            "output_error": self._mean(a - b for a, b in zip(outputs, self.outputs, strict=True))}
        if pictures:
            found["psnr"] = float(np.mean([psnr(a, b) for a, b in zip(pictures, self.pictures, strict=True)]))
        return found

    def _predict(self, step: Step) -> Tensor:
        return self.model.predict(step.noisy_latents, step.timesteps, step.conditioning)

    def _paint(self) -> list[np.ndarray]:
        if not self.prompts:
            return []
        return [np.asarray(image) for image in self.model.generate(self.prompts, seeds=self.seeds)]

    @staticmethod
    def _mean(differences: Iterator[Tensor]) -> float:
        """The mean square over samples of all batches."""
        return float(torch.cat([(difference ** 2).flatten(1).mean(1) for difference in differences]).mean())

    @contextmanager
    def _in_place(self, unet: Any) -> Iterator[None]:
        self.model.add_module("unet", unet)
        try:
            yield
        finally:
            self.model.add_module("unet", self.unet)
