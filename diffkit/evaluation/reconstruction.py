"""What a VAE leaves of pictures."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric

from diffkit.evaluation.prompt_accuracy import attribute_shares
from diffkit.evaluation.shapes_analyser import analyse
from diffkit.evaluation.shares import mean_and_error, require
from diffkit.registry import METRICS

#: What two equal pictures get; a difference of one level in one of a thousand values is 78 dB.
MAX_PSNR = 100.0


def psnr(first: np.ndarray, second: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB of two uint8 pictures of one shape: ``10 log10(255² / MSE)``.

    Equal pictures get ``MAX_PSNR``.
    """
    if first.shape != second.shape:
        raise ValueError(f"second must have the shape of first, {first.shape}, got {second.shape}")
    error = float(np.mean((first.astype(np.float64) - second.astype(np.float64)) ** 2))
    return min(MAX_PSNR, float(10 * np.log10(255**2 / error))) if error else MAX_PSNR


@METRICS.register_module()
class ReconstructionAccuracy(BaseMetric):
    """How good pictures are after the VAE, and what of a shapes picture is still recognised.

    ``process`` takes samples with ``image`` (the reconstruction) and ``original``, both uint8 ``[H, W, 3]``,
    and perhaps ``expected`` (what a drawn picture shows). The result has ``psnr`` in dB, the mean over
    pictures, and the shares of :class:`PromptAccuracy` where something is expected; each with its standard
    error (``..._se``) and number (``..._n``).

    Args:
        resolution: side, in pixels, at which pictures are read.
        collect_device: as for every metric of MMEngine.
        prefix: as for every metric of MMEngine.
    """

    default_prefix = "reconstruction"

    def __init__(self, resolution: int = 64, collect_device: str = "cpu", prefix: str | None = None) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.resolution = resolution

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Compare the pictures of each sample. ``data_batch`` is not used."""
        for sample in data_samples:
            require(sample, "image", "original")
            expected = sample.get("expected") or {}
            right = analyse(sample["image"], self.resolution).matches(expected) if expected else {}
            self.results.append((psnr(sample["original"], sample["image"]), right))

    def compute_metrics(self, results: list[tuple[float, dict[str, bool]]]) -> dict[str, float]:
        """Average over the samples; see the class."""
        found = mean_and_error("psnr", [value for value, _ in results]) if results else {}
        return found | attribute_shares([right for _, right in results])
