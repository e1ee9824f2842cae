"""An objective turns a batch into the terms of the loss."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor, nn

if TYPE_CHECKING:
    from diffkit.models.latent_diffusion import LatentDiffusion


class Objective(nn.Module, ABC):
    """Fills the ``objective`` slot of :class:`~diffkit.models.LatentDiffusion`.

    Attributes:
        runs_unet: the UNet predicts something in each step, of which a distiller's teacher can have an opinion.
    """

    runs_unet = True

    @abstractmethod
    def losses(self, model: "LatentDiffusion", batch: dict[str, Any]) -> dict[str, Tensor]:
        """Returns scalars; those named ``loss_*`` are summed and trained on, the others are logged.

        Args:
            model: the model whose components are run.
            batch: what :func:`diffkit.datasets.collate_samples` makes.
        """

    def predict(self, model: "LatentDiffusion", batch: dict[str, Any]) -> list[dict[str, Any]]:
        """What metrics judge: dicts with ``image`` (uint8 [H, W, 3]) and what the batch holds for it.

        By default one picture is sampled for each ``prompt`` of the batch, from its ``seed`` if there is one.
        """
        seeds = [int(seed) for seed in batch.get("seed", range(len(batch["prompt"])))]
        with model.sampling():
            images = model.generate(batch["prompt"], seeds=seeds)
        return [{**row, "image": np.asarray(image)} for row, image in zip(rows(batch), images, strict=True)]

    def before_export(self, model: "LatentDiffusion") -> None:
        """Writes into the components' configs what this objective learned about them: nothing, by default."""


def rows(batch: dict[str, Any]) -> list[dict[str, Any]]:
    """Splits a batch into one dict for each sample."""
    count = len(next(iter(batch.values())))
    return [{name: values[i] for name, values in batch.items()} for i in range(count)]
