"""The objective of the autoencoder: give the picture back."""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F

from diffkit.models.objectives.base import Objective, rows
from diffkit.models.reconstruct import reconstruct, to_pictures
from diffkit.registry import OBJECTIVES

if TYPE_CHECKING:
    from diffkit.models.latent_diffusion import LatentDiffusion


@OBJECTIVES.register_module()
class Reconstruction(Objective):
    """L1 + squared error + squared error of the picture's gradients + KL to the unit normal.

    The gradient term keeps edges and textures sharp without a learned perceptual loss. The standard deviation of the
    latents is followed during training; ``scaling_factor`` of the exported VAE brings it to ``latent_std``. Stable
    Diffusion takes 1 (Rombach et al. 2022, appendix G). Latents of more channels tell more through the same noise:
    where the last timestep still shows the picture's colours, a model does not learn to read them from the text, and
    a smaller scale mends that (Chen 2023, arXiv 2301.10972).

    Args:
        mse: weight of the squared error.
        gradient: weight of the squared error of horizontal and vertical differences.
        kl: weight of the Kullback-Leibler divergence, averaged over latent values.
        latent_std: standard deviation of the scaled latents, above 0.
        momentum: share of the latest batch in the latents' second moment, in (0, 1].
    """

    runs_unet = False

    def __init__(self, mse: float = 4.0, gradient: float = 4.0, kl: float = 1e-4, latent_std: float = 1.0,
                 momentum: float = 0.01) -> None:
        super().__init__()
        if not latent_std > 0:
            raise ValueError(f"Reconstruction: latent_std is {latent_std}; it must be above 0.")
        self.latent_std = latent_std
        self.mse, self.gradient, self.kl, self.momentum = mse, gradient, kl, momentum
        self.register_buffer("second_moment", torch.zeros(()))
        self.second_moment: Tensor

    def losses(self, model: "LatentDiffusion", batch: dict[str, Any]) -> dict[str, Tensor]:
        pixels = batch["pixel_values"]
        vae = model.components["vae"]
        posterior = vae.encode(pixels).latent_dist  # type: ignore[operator]
        self._follow(posterior.mean.detach().float(), posterior.var.detach().float())
        restored = vae.decode(posterior.sample()).sample.float()  # type: ignore[operator]
        squared = F.mse_loss(restored, pixels)
        divergence = 0.5 * (posterior.mean**2 + posterior.var - 1 - posterior.logvar).mean()
        return {"loss_l1": F.l1_loss(restored, pixels), "loss_mse": self.mse * squared,
                "loss_gradient": self.gradient * gradient_error(restored, pixels),
                "loss_kl": self.kl * divergence,
                # pixels span 2, so the peak signal-to-noise ratio is 10 log10(4 / mse)
                "psnr": 10 * torch.log10(4 / squared.detach().clamp_min(1e-10))}

    def predict(self, model: "LatentDiffusion", batch: dict[str, Any]) -> list[dict[str, Any]]:
        """The picture after the VAE as ``image``, the one before it as ``original``; uint8 [H, W, 3]."""
        pixels = batch["pixel_values"]
        with model.sampling():
            images = reconstruct(model.components["vae"], pixels)
        kept = [{name: value for name, value in row.items() if name != "pixel_values"} for row in rows(batch)]
        return [{**row, "image": image, "original": original}
                for row, image, original in zip(kept, images, to_pictures(pixels), strict=True)]

    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        latest = (mean.var() + variance.mean())
        share = self.momentum if self.second_moment > 0 else 1.0
        self.second_moment.lerp_(latest, share)

    def before_export(self, model: "LatentDiffusion") -> None:
        if self.second_moment > 0 and any(p.requires_grad for p in model.encoder_parameters()):
            factor = self.latent_std * float(self.second_moment.rsqrt())
            model.components["vae"].register_to_config(scaling_factor=factor)  # type: ignore[operator]


def gradient_error(restored: Tensor, pixels: Tensor) -> Tensor:
    """Squared error of horizontal and of vertical differences, summed; both [B, C, H, W]."""
    return sum((F.mse_loss(restored.diff(dim=dim), pixels.diff(dim=dim)) for dim in (-1, -2)),
               start=restored.new_zeros(()))
