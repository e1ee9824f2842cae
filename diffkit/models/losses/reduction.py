"""From the losses of single samples to the loss of a batch."""

import torch
from torch import Tensor


def weighted_mean(per_sample: Tensor, sample_weight: Tensor | None, is_prior: Tensor,
                  prior_loss_weight: float = 1.0) -> Tensor:
    """The mean over the instances plus ``prior_loss_weight`` times the mean over the prior samples.

    With weight 0 the prior samples do not enter at all, so the result is that of a batch without them, bit
    for bit, even where their loss is not finite. A batch that lacks one of the two kinds has 0 for its mean.

    Args:
        per_sample: float [B], the losses of the samples.
        sample_weight: float [B] that multiplies them, or None. The means divide by the number of samples, not
            by the sum of the weights.
        is_prior: bool [B], True for samples of prior preservation.
        prior_loss_weight: at least 0.

    Returns:
        A scalar.
    """
    if is_prior.shape != per_sample.shape or per_sample.ndim != 1:
        raise ValueError(
            f"per_sample and is_prior must have one shape [B], not {tuple(per_sample.shape)} and "
            f"{tuple(is_prior.shape)}")
    if not prior_loss_weight >= 0:
        raise ValueError(f"prior_loss_weight must be 0 or more, not {prior_loss_weight!r}")
    if sample_weight is not None:
        per_sample = per_sample * sample_weight.to(per_sample)
    is_prior = is_prior.to(device=per_sample.device, dtype=torch.bool)
    loss = _mean(per_sample[~is_prior])
    if prior_loss_weight:
        loss = loss + prior_loss_weight * _mean(per_sample[is_prior])
    return loss


def _mean(values: Tensor) -> Tensor:
    return values.sum() / max(len(values), 1)
