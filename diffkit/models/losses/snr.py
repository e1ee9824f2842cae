"""Weights of the loss that depend on the signal-to-noise ratio (SNR) of a timestep.

A loss on the noise, on the velocity and on the clean sample are the same error seen at different scales:
``|eps error|**2 = SNR * |sample error|**2`` and ``|v error|**2 = (SNR + 1) * |sample error|**2``. So each
weight here is defined once, on the sample, and divided by ``SNR`` or ``SNR + 1`` for the other two. All
weights are finite for every SNR in [0, inf], a schedule with zero terminal SNR included.
"""

from torch import Tensor

from diffkit.registry import LOSSES

PREDICTION_TYPES = ("epsilon", "v_prediction", "sample")


def snr_of(alphas_cumprod: Tensor, timesteps: Tensor) -> Tensor:
    """The signal-to-noise ratio ``a / (1 - a)`` of the given timesteps.

    Args:
        alphas_cumprod: [T], what a scheduler calls by this name, in [0, 1].
        timesteps: long [B], in ``range(T)``.

    Returns:
        float32 [B] on the device of ``timesteps``; ``inf`` where there is no noise.
    """
    alpha = alphas_cumprod.to(timesteps.device)[timesteps].float()
    return alpha / (1 - alpha)


def _check_type(prediction_type: str) -> None:
    if prediction_type not in PREDICTION_TYPES:
        allowed = ", ".join(PREDICTION_TYPES)
        raise ValueError(f"prediction_type must be one of {allowed}, not {prediction_type!r}")


@LOSSES.register_module()
class MinSNRWeight:
    """Min-SNR-gamma of Hang et al. 2023 (arXiv 2303.09556): the weight on the sample is ``min(SNR, gamma)``.

    Epsilon: ``min(SNR, gamma) / SNR``, which is 1 at SNR 0; velocity: ``min(SNR, gamma) / (SNR + 1)``.

    Args:
        gamma: the SNR from which on steps weigh the same, above 0.
    """

    def __init__(self, gamma: float = 5.0) -> None:
        if not gamma > 0:
            raise ValueError(f"gamma must be above 0, not {gamma!r}")
        self.gamma = float(gamma)

    def __call__(self, snr: Tensor, prediction_type: str) -> Tensor:
        """Returns the weights [B], float32, of samples with SNR ``snr`` [B] in [0, inf]."""
        _check_type(prediction_type)
        snr = snr.float()
        if prediction_type == "epsilon":
            return (self.gamma / snr).clamp(max=1.0)
        clipped = snr.clamp(max=self.gamma)
        return clipped / (snr + 1) if prediction_type == "v_prediction" else clipped


@LOSSES.register_module()
class DebiasedWeight:
    """Debiased estimation of Yu et al. 2023 (arXiv 2310.08442): ``1 / sqrt(SNR)`` on the epsilon error.

    This is ``sqrt(SNR)`` on the sample and ``sqrt(SNR) / (SNR + 1)`` on the velocity.

    Args:
        max_weight: no weight is larger, above 0. The usual schedule of Stable Diffusion stays below 15 for
            epsilon; only a schedule with zero terminal SNR reaches the bound.
    """

    def __init__(self, max_weight: float = 100.0) -> None:
        if not max_weight > 0:
            raise ValueError(f"max_weight must be above 0, not {max_weight!r}")
        self.max_weight = float(max_weight)

    def __call__(self, snr: Tensor, prediction_type: str) -> Tensor:
        """Returns the weights [B], float32, of samples with SNR ``snr`` [B] in [0, inf]."""
        _check_type(prediction_type)
        root = snr.float().sqrt()
        if prediction_type == "epsilon":
            weight = 1 / root
        elif prediction_type == "sample":
            weight = root
        else:  # root / (root**2 + 1), written so that it is 0 at both 0 and inf
            weight = 1 / (root + 1 / root)
        return weight.clamp(max=self.max_weight)
