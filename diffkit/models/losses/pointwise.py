"""Losses that compare a prediction with its target, element by element, and give one number for each sample.

They are computed in float32 whatever the dtype of their inputs, and no weight enters here: weights multiply
the result, sample by sample (``snr.py``), and ``reduction.py`` makes one number of a batch.
"""

from torch import Tensor
from torch.nn import functional as F

from diffkit.registry import LOSSES


def _per_sample(values: Tensor) -> Tensor:
    """Means of ``values`` [B, ...] over all but the first dimension: [B]."""
    return values.flatten(1).mean(1)


def _checked(prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Both tensors in float32; a difference in shape is an error, for broadcasting would hide a mistake."""
    if prediction.shape != target.shape or prediction.ndim < 2:
        raise ValueError(
            f"prediction and target must have one shape [B, ...], not {tuple(prediction.shape)} "
            f"and {tuple(target.shape)}")
    return prediction.float(), target.float()


def _positive(name: str, value: float) -> float:
    if not value > 0:
        raise ValueError(f"{name} must be above 0, not {value!r}")
    return float(value)


@LOSSES.register_module()
class MSELoss:
    """The mean squared error of each sample, which the denoising objective of DDPM uses."""

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Returns [B], float32, for ``prediction`` and ``target`` of one shape [B, ...]."""
        prediction, target = _checked(prediction, target)
        return _per_sample(F.mse_loss(prediction, target, reduction="none"))


@LOSSES.register_module()
class RelativeMSELoss:
    """The mean squared error of each sample, divided by the mean square of its target (1e-8 at least).

    Features of different layers differ in size by orders of magnitude; divided by it, none drowns the others.
    """

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Returns [B], float32, for ``prediction`` and ``target`` of one shape [B, ...]."""
        prediction, target = _checked(prediction, target)
        error = _per_sample(F.mse_loss(prediction, target, reduction="none"))
        return error / _per_sample(target**2).clamp_min(1e-8)


@LOSSES.register_module()
class HuberLoss:
    """``d**2 / 2`` for a difference ``|d| < delta``, else ``delta * (|d| - delta / 2)``: outliers pull less.

    Args:
        delta: where the square turns into a line, above 0.
    """

    def __init__(self, delta: float = 1.0) -> None:
        self.delta = _positive("delta", delta)

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Returns [B], float32, for ``prediction`` and ``target`` of one shape [B, ...]."""
        prediction, target = _checked(prediction, target)
        return _per_sample(F.huber_loss(prediction, target, reduction="none", delta=self.delta))


@LOSSES.register_module()
class SmoothL1Loss:
    """The Huber loss divided by ``beta``: slope 1 for large differences, whatever ``beta``.

    Args:
        beta: where the square turns into a line, above 0.
    """

    def __init__(self, beta: float = 1.0) -> None:
        self.beta = _positive("beta", beta)

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Returns [B], float32, for ``prediction`` and ``target`` of one shape [B, ...]."""
        prediction, target = _checked(prediction, target)
        return _per_sample(F.smooth_l1_loss(prediction, target, reduction="none", beta=self.beta))
