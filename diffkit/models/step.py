"""What one training step knows, handed from the objective to the losses and to the distiller."""

from dataclasses import dataclass

from torch import Tensor

from diffkit.models.families.base import Conditioning


@dataclass
class Step:
    """One denoising step over a batch of B samples, instance and prior together.

    Attributes:
        latents: clean latents, scaled, [B, C, h, w].
        noise: the noise that the target is made of, [B, C, h, w].
        noisy_latents: what the UNet sees, [B, C, h, w].
        timesteps: [B], long.
        conditioning: the encoded text of the batch.
        target: what the prediction is compared with (noise or velocity), [B, C, h, w].
        is_prior: [B], bool; True for samples that keep the class as it was.
        sample_weight: [B]; the weight of the noise level, before instance and prior are weighed.
        prediction: the UNet's output, [B, C, h, w]; None until the UNet has run.
        mask: where the picture shows something to learn from, bool [B, 1, h, w]; None is everywhere.
    """

    latents: Tensor
    noise: Tensor
    noisy_latents: Tensor
    timesteps: Tensor
    conditioning: Conditioning
    target: Tensor
    is_prior: Tensor
    sample_weight: Tensor
    prediction: Tensor | None = None
    mask: Tensor | None = None
