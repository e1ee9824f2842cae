"""Losses on tensors, the weights that depend on the signal-to-noise ratio, and the reduction over a batch."""

from diffkit.models.losses.mask import content_mask, masked_losses
from diffkit.models.losses.pointwise import HuberLoss, MSELoss, RelativeMSELoss, SmoothL1Loss
from diffkit.models.losses.reduction import weighted_mean
from diffkit.models.losses.snr import DebiasedWeight, MinSNRWeight, snr_of

__all__ = [
    "DebiasedWeight", "HuberLoss", "MSELoss", "MinSNRWeight", "RelativeMSELoss", "SmoothL1Loss", "content_mask",
    "masked_losses", "snr_of", "weighted_mean"]
