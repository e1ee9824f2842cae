"""The arithmetic of consistency models: what a prediction says of the clean latents, and a step of the sampler.

Formulas: Song et al. 2020 (DDIM, arXiv 2010.02502), Luo et al. 2023 (LCM, arXiv 2310.04378). They are written with
``alphas``, the cumulative products of a noise schedule, so that ``noisy = sqrt(a) latents + sqrt(1 - a) noise``.
"""

import torch
from torch import Tensor

#: Of ``LCMScheduler``; the boundary condition is that of Karras et al. 2022 with these two numbers.
SIGMA_DATA, TIMESTEP_SCALING = 0.5, 10.0


def split(kind: str, prediction: Tensor, noisy: Tensor, alphas: Tensor) -> tuple[Tensor, Tensor]:
    """The clean latents and the noise that a prediction stands for, both [B, C, h, w] in float32.

    Args:
        kind: ``epsilon``, ``v_prediction`` or ``sample``.
        prediction: of the UNet, [B, C, h, w].
        noisy: what the UNet saw, [B, C, h, w].
        alphas: of each sample's timestep, [B], in (0, 1).
    """
    signal, noise = _roots(alphas, noisy)
    prediction, noisy = prediction.float(), noisy.float()
    if kind == "v_prediction":
        return signal * noisy - noise * prediction, signal * prediction + noise * noisy
    if kind == "epsilon":
        return (noisy - noise * prediction) / signal, prediction
    return prediction, (noisy - signal * prediction) / noise


def ddim_step(clean: Tensor, noise: Tensor, alphas: Tensor) -> Tensor:
    """The noisy latents at an earlier timestep, whose ``alphas`` [B] are given, without new noise."""
    to_signal, to_noise = _roots(alphas, clean)
    return to_signal * clean + to_noise * noise


def boundary(clean: Tensor, noisy: Tensor, timesteps: Tensor) -> Tensor:
    """The consistency function: the clean latents, and at timestep 0 the noisy ones themselves.

    Args:
        clean: what the prediction says, [B, C, h, w].
        noisy: what the UNet saw, [B, C, h, w].
        timesteps: [B], long.
    """
    scaled = (timesteps.to(clean) * TIMESTEP_SCALING)[:, None, None, None]
    total = scaled**2 + SIGMA_DATA**2
    return SIGMA_DATA**2 / total * noisy.float() + scaled / total.sqrt() * clean


def _roots(alphas: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    alphas = alphas.to(device=like.device, dtype=torch.float32)[:, None, None, None]
    return alphas.sqrt(), (1 - alphas).sqrt()
