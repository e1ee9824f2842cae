"""How often a picture of the shapes world shows what its prompt asks for."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric
from PIL import Image

from diffkit.datasets.shapes.concepts import Concept, get_concept
from diffkit.evaluation.shapes_analyser import analyse
from diffkit.registry import METRICS

ATTRIBUTES = ("shape", "colour", "background", "size", "position", "texture")


def standard_error(accuracy: float, n: int) -> float:
    """The binomial standard error of a share of ``n`` independent trials."""
    return float(np.sqrt(accuracy * (1 - accuracy) / n))


@METRICS.register_module()
class PromptAccuracy(BaseMetric):
    """Shares of pictures that are right, attribute by attribute, as ``analyse`` reads them.

    ``process`` takes samples with ``image`` (uint8 ``[H, W, 3]`` or PIL) and ``expected`` (the attributes
    that the prompt names). For each attribute, and for ``sc`` (shape and colour both right), the result has
    the accuracy over the prompts that name it, its standard error (``..._se``) and their number (``..._n``).
    What no prompt names is left out.

    Args:
        resolution: side, in pixels, at which pictures are read.
        collect_device: as for every metric of MMEngine.
        prefix: as for every metric of MMEngine.
    """

    default_prefix = "prompt"

    def __init__(self, resolution: int = 64, collect_device: str = "cpu", prefix: str | None = None) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.resolution = resolution

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Read the picture of each sample. ``data_batch`` is not used."""
        for sample in data_samples:
            missing = [name for name in ("image", "expected") if name not in sample]
            if missing:
                raise ValueError(f"data_samples must have 'image' and 'expected'; a sample lacks {missing}")
            self.results.append(analyse(sample["image"], self.resolution).matches(sample["expected"]))

    def compute_metrics(self, results: list[dict[str, bool]]) -> dict[str, float]:
        """Average over the samples; see the class."""
        columns: dict[str, list[bool]] = {
            "sc": [r["shape"] and r["colour"] for r in results if "shape" in r and "colour" in r]
        }
        for name in ATTRIBUTES:
            columns[name] = [r[name] for r in results if name in r]
        metrics: dict[str, float] = {}
        for name, right in columns.items():
            if right:
                accuracy = float(np.mean(right))
                metrics[name] = accuracy
                metrics[f"{name}_se"] = standard_error(accuracy, len(right))
                metrics[f"{name}_n"] = len(right)
        return metrics


def concept_hit(
    image: np.ndarray | Image.Image, concept: str | Concept, resolution: int = 64
) -> dict[str, bool]:
    """Whether a picture shows a concept.

    Returns:
        ``shape``, ``colour`` (all colours of the concept and no other), ``texture``, and ``hit``: all three.
    """
    concept = get_concept(concept) if isinstance(concept, str) else concept
    wanted = {"shape": concept.shape, "colour": concept.colour, "texture": concept.texture}
    if concept.second_colour is not None:
        wanted["second_colour"] = concept.second_colour
    right = analyse(image, resolution).matches(wanted)
    return {**right, "hit": all(right.values())}
