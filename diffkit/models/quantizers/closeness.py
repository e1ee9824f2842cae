"""How close a model is to another: in predictions on the same noisy latents, and in pictures from the same noise."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from diffkit.models.families.base import Conditioning

if TYPE_CHECKING:
    from diffkit.models.latent_diffusion import LatentDiffusion

#: PSNR of two equal pictures, in dB; that of different ones is below 118 up to 1000 pixels wide.
EQUAL = 120.0


@dataclass(frozen=True)
class Closeness:
    """What a comparison found; ``± se`` are standard errors of the means.

    Attributes:
        error: squared error of predictions, divided by the mean square of the reference's.
        error_se: its standard error.
        psnr: mean over the pictures of their peak signal-to-noise ratio to the reference's, in dB.
        psnr_se: its standard error.
        predictions: how many were compared.
        pictures: how many were compared.
    """

    error: float
    error_se: float
    psnr: float
    psnr_se: float
    predictions: int
    pictures: int

    def __str__(self) -> str:
        return (f"prediction error {self.error:.2e} ± {self.error_se:.1e} of FP32's square (n = {self.predictions}), "
                f"PSNR {self.psnr:.2f} ± {self.psnr_se:.2f} dB to FP32's pictures (n = {self.pictures})")

    def as_dict(self) -> dict[str, Any]:
        """Plain values, by name."""
        return asdict(self)


@dataclass(frozen=True)
class Probe:
    """What models are compared on.

    Attributes:
        steps: noisy latents [B, C, h, w], timesteps [B] and conditioning, in batches.
        prompts: of pictures.
        seeds: of pictures, one each.
        batch_size: pictures at once.
        settings: of :class:`~diffkit.models.generation.GenerationSettings`.
    """

    steps: list[tuple[Tensor, Tensor, Conditioning]]
    prompts: list[str]
    seeds: list[int]
    batch_size: int
    settings: dict[str, Any]

    @classmethod
    @torch.no_grad()
    def of_batches(cls, model: "LatentDiffusion", batches: Sequence[dict[str, Any]], prompts: Sequence[str], seed: int,
                   batch_size: int, settings: dict[str, Any]) -> "Probe":
        """Adds noise of uniform timesteps to the pictures of batches; all of it follows from ``seed``."""
        generator = torch.Generator().manual_seed(seed)
        torch.manual_seed(seed)  # of the VAE's posterior
        schedule, steps = model.noise_scheduler, []
        cache, model.text_cache = model.text_cache, None  # the training keeps what it encodes, in its own precision
        try:
            for batch in batches:
                latents = model.encode_images(batch["pixel_values"])
                noise = torch.randn(latents.shape, generator=generator).to(latents)
                last = schedule.config.num_train_timesteps
                times = torch.randint(last, (len(latents),), generator=generator).to(latents.device)
                steps.append((schedule.add_noise(latents, noise, times), times, model.encode_prompts(batch)))
        finally:
            model.text_cache = cache
        return cls(steps, list(prompts), [seed + i for i in range(len(prompts))], batch_size, settings)


@dataclass(frozen=True)
class Answers:
    """What a model gave for a probe.

    Attributes:
        predictions: float32 [N, C, h, w], on the CPU.
        pictures: uint8 [n, height, width, 3].
    """

    predictions: Tensor
    pictures: np.ndarray


def answers(model: "LatentDiffusion", probe: Probe) -> Answers:
    """Runs the model on a probe, in evaluation mode."""
    with model.sampling():
        predictions = [model.predict(*step).cpu() for step in probe.steps]
        images: list[np.ndarray] = []
        for first in range(0, len(probe.prompts), probe.batch_size):
            part = slice(first, first + probe.batch_size)
            images += map(np.asarray, model.generate(probe.prompts[part], seeds=probe.seeds[part], **probe.settings))
    return Answers(torch.cat(predictions), np.stack(images))


@dataclass(frozen=True)
class Distances:
    """How far a model is from the reference on each item of a probe.

    Attributes:
        errors: squared error of each prediction, divided by the mean square of the reference's; float64 [N].
        psnr: of each picture to the reference's, in dB; float64 [n].
    """

    errors: np.ndarray
    psnr: np.ndarray

    def mean(self) -> Closeness:
        """Means and their standard errors."""
        return Closeness(*_mean(self.errors), *_mean(self.psnr), len(self.errors), len(self.psnr))


@dataclass(frozen=True)
class Gain:
    """How much closer one model is than another on the same items; ``± se`` are standard errors of the differences.

    Attributes:
        error: by how much its prediction error is less, as a share of the reference's square.
        error_se: its standard error.
        psnr: by how much its pictures' PSNR is more, in dB.
        psnr_se: its standard error.
    """

    error: float
    error_se: float
    psnr: float
    psnr_se: float

    def is_better(self, margin: float) -> bool:
        """Whether one figure is better by more than ``margin`` standard errors, and none worse by more than that."""
        pairs = ((self.error, self.error_se), (self.psnr, self.psnr_se))
        return any(value > margin * se for value, se in pairs) and all(value >= -margin * se for value, se in pairs)

    def __str__(self) -> str:
        return (f"prediction error less by {self.error:.2e} ± {self.error_se:.1e}, PSNR more by {self.psnr:+.2f} ± "
                f"{self.psnr_se:.2f} dB")


def distances(found: Answers, reference: Answers) -> Distances:
    """Compares what two models gave for the same probe, item by item."""
    errors = (found.predictions - reference.predictions).square().flatten(1).mean(1).double()
    errors = errors / reference.predictions.square().mean().double()
    return Distances(errors.numpy(), psnr(found.pictures, reference.pictures))


def compare(found: Answers, reference: Answers) -> Closeness:
    """Compares what two models gave for the same probe."""
    return distances(found, reference).mean()


def gain(found: Distances, other: Distances) -> Gain:
    """How much closer ``found`` is than ``other`` to one reference, by the same items.

    The items are the same, so the spread from one to another, which both have in common, drops out.
    """
    return Gain(*_mean(other.errors - found.errors), *_mean(found.psnr - other.psnr))


def psnr(found: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """``10 log10(255² / mean squared difference)`` of each of two rows of pictures uint8 [n, ...], in dB: [n]."""
    difference = found.astype(np.float64) - reference.astype(np.float64)
    squares = (difference**2).reshape(len(found), -1).mean(1)
    with np.errstate(divide="ignore"):
        return np.minimum(10 * np.log10(255.0**2 / squares), EQUAL)


def _mean(values: np.ndarray) -> tuple[float, float]:
    """Mean and standard error."""
    spread = float(values.std(ddof=1)) if len(values) > 1 else 0.0
    return float(values.mean()), spread / math.sqrt(len(values))
