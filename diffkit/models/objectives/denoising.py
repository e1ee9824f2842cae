"""The objective of diffusion models: find the noise that was added (Ho et al. 2020), or the velocity."""

from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from diffkit.models.losses import content_mask, masked_losses, snr_of, weighted_mean
from diffkit.models.objectives.base import Objective
from diffkit.models.objectives.fixed_draws import FixedDraws
from diffkit.models.step import Step
from diffkit.registry import LOSSES, NOISES, OBJECTIVES, TIMESTEPS

if TYPE_CHECKING:
    from diffkit.models.latent_diffusion import LatentDiffusion

PREDICTION_TYPES = ("epsilon", "v_prediction", "sample")


@OBJECTIVES.register_module()
class Denoising(Objective):
    """One UNet forward for the whole batch, instance and prior together; one loss value for each sample.

    The loss is ``mean(w l | instance) + prior_loss_weight * mean(w l | prior)`` (Ruiz et al. 2022), where ``l`` is
    the mean over a sample's values and ``w`` weighs its noise level. Where a sample has a ``content_box``
    (``SizeAugment``), ``l`` is the mean over the latents inside it. So ``weighting`` acts on prior pictures as it
    does on instance pictures; the DreamBooth scripts of diffusers weigh the instance half only.

    Args:
        loss: a config of LOSSES that gives one value for each sample; MSE by default.
        weighting: a config of LOSSES that maps the signal-to-noise ratio to a weight, such as
            ``dict(type=MinSNRWeight, gamma=5.0)``; None weighs all levels alike.
        noise: a config of NOISES; white noise by default.
        timesteps: a config of TIMESTEPS; uniform by default.
        prediction_type: what the UNet predicts; None takes it from the model's scheduler.
        loss_weight: factor of this term beside a distiller's; 0 leaves the teacher alone.
        fixed_draws: each picture comes with one of that many fixed latents, noises and timesteps, which follow from its
            key, instead of new ones in each step. **This changes the algorithm**: the model sees far fewer noises, and
            with few draws it may learn them by heart. It is what a distiller's ``bank`` needs. None draws anew.
    """

    def __init__(self, loss: dict | None = None, weighting: dict | None = None, noise: dict | None = None,
                 timesteps: dict | None = None, prediction_type: str | None = None,
                 loss_weight: float = 1.0, fixed_draws: int | None = None) -> None:
        super().__init__()
        if prediction_type not in (None, *PREDICTION_TYPES):
            raise ValueError(f"Denoising: prediction_type is {prediction_type!r}; allowed: {PREDICTION_TYPES}.")
        self.loss = LOSSES.build(loss or {"type": "MSELoss"})
        self.weighting = LOSSES.build(weighting) if weighting else None
        self.noise = NOISES.build(noise or {"type": "WhiteNoise"})
        self.timesteps = TIMESTEPS.build(timesteps or {"type": "UniformTimesteps"})
        self.prediction_type = prediction_type
        self.loss_weight = loss_weight
        self.fixed_draws = None if fixed_draws is None else FixedDraws(fixed_draws)

    def losses(self, model: "LatentDiffusion", batch: dict[str, Any]) -> dict[str, Tensor]:
        step = self.prepare(model, batch)
        with model.recording():
            step.prediction = model.predict(step.noisy_latents, step.timesteps, step.conditioning)
        terms = {"loss_denoising": self.loss_weight * self.compare(step, model.prior_loss_weight)}
        if model.distiller is not None:
            terms.update(model.distiller.losses(step))
        return terms

    def prepare(self, model: "LatentDiffusion", batch: dict[str, Any]) -> Step:
        """Encodes the batch and adds noise to it."""
        scheduler = model.noise_scheduler
        latents, noise, added, timesteps = self._draw(model, batch)
        kind = self.prediction_type or scheduler.config.prediction_type
        snr = snr_of(scheduler.alphas_cumprod.to(latents.device), timesteps)
        weight = torch.ones_like(snr) if self.weighting is None else self.weighting(snr, kind)
        is_prior = batch.get("is_prior")
        return Step(
            latents=latents, noise=noise, timesteps=timesteps,
            noisy_latents=scheduler.add_noise(latents, added, timesteps),
            conditioning=model.encode_prompts(batch), target=self._target(scheduler, kind, latents, noise, timesteps),
            is_prior=torch.zeros_like(timesteps, dtype=torch.bool) if is_prior is None else is_prior,
            sample_weight=weight, mask=self._mask(batch, latents))

    def _draw(self, model: "LatentDiffusion", batch: dict[str, Any]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Latents, the noise to find, the noise that is added, and timesteps."""
        keys, count = batch.get("key"), model.noise_scheduler.config.num_train_timesteps
        if self.fixed_draws is None:
            latents = model.encode_images(batch["pixel_values"], keys)
            timesteps = self.timesteps(len(latents), count, device=latents.device)
            noise = self.noise(latents)
            return latents, noise, self.noise.perturb(noise), timesteps
        generators = self.fixed_draws.generators(keys)
        latents = model.encode_images(batch["pixel_values"], keys, generators)
        timesteps = torch.cat([self.timesteps(1, count, latents.device, each) for each in generators])
        noise = torch.cat([self.noise(latents[i:i + 1], each) for i, each in enumerate(generators)])
        added = torch.cat([self.noise.perturb(noise[i:i + 1], each) for i, each in enumerate(generators)])
        return latents, noise, added, timesteps

    def compare(self, step: Step, prior_loss_weight: float) -> Tensor:
        """The weighed loss of a step whose prediction is there."""
        if step.prediction is None:
            raise ValueError("the step has no prediction yet: run the UNet first")
        losses = self.loss if step.mask is None else partial(masked_losses, self.loss, step.mask)
        return weighted_mean(losses(step.prediction, step.target), step.sample_weight, step.is_prior,
                             prior_loss_weight)

    @staticmethod
    def _mask(batch: dict[str, Any], latents: Tensor) -> Tensor | None:
        boxes = batch.get("content_box")
        if boxes is None:
            return None
        return content_mask(boxes.to(latents.device), batch["pixel_values"].shape[-2:], latents.shape[-2:])

    @staticmethod
    def _target(scheduler: Any, kind: str, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        if kind == "epsilon":
            return noise
        return latents if kind == "sample" else scheduler.get_velocity(latents, noise, timesteps)
