"""How often a picture shows a concept that a model was taught."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric
from PIL import Image

from diffkit.datasets.shapes.concepts import Concept, get_concept
from diffkit.evaluation.shapes_analyser import Reading, analyse
from diffkit.evaluation.shares import require, shares
from diffkit.registry import METRICS


def concept_hit(
    image: np.ndarray | Image.Image, concept: str | Concept, resolution: int = 64
) -> dict[str, bool]:
    """Whether a picture shows a concept.

    Returns:
        ``shape``, ``colour`` (all colours of the concept and no other), ``texture``, and ``hit``: all three.
    """
    return _compare(analyse(image, resolution), get_concept(concept) if isinstance(concept, str) else concept)


def _compare(reading: Reading, concept: Concept) -> dict[str, bool]:
    wanted = {"shape": concept.shape, "colour": concept.colour, "texture": concept.texture}
    if concept.second_colour is not None:
        wanted["second_colour"] = concept.second_colour
    right = reading.matches(wanted)
    return {**right, "hit": all(right.values())}


@METRICS.register_module()
class ConceptAccuracy(BaseMetric):
    """Share of pictures that show a concept: shape, both colours and texture right.

    ``process`` takes samples with ``image`` (uint8 ``[H, W, 3]`` or PIL), and perhaps ``background`` (the one
    that was asked for) and ``seen`` (whether the concept's own pictures have that background), as
    :class:`~diffkit.datasets.ConceptPrompts` gives them. The result has ``hit``, ``shape``, ``colour``,
    ``texture`` and ``background``, ``composition`` (hit and background), and ``hit_seen`` and ``hit_unseen``; each with
    its standard error (``..._se``) and number (``..._n``).

    Args:
        concept: name of the concept; one of ``CONCEPTS``.
        resolution: side, in pixels, at which pictures are read.
        group: only samples of this group of :class:`~diffkit.datasets.NamedGroups` count; None takes all.
        collect_device: as for every metric of MMEngine.
        prefix: as for every metric of MMEngine.
    """

    default_prefix = "concept"

    def __init__(
        self, concept: str, resolution: int = 64, group: str | None = None, collect_device: str = "cpu",
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.concept = get_concept(concept)
        self.resolution = resolution
        self.group = group

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Read the picture of each sample. ``data_batch`` is not used."""
        for sample in data_samples:
            require(sample, "image")
            if self.group is not None and sample.get("group") != self.group:
                self.results.append({})  # an entry for each sample: of several processes the last ones are cut off
                continue
            reading = analyse(sample["image"], self.resolution)
            right = _compare(reading, self.concept)
            if "background" in sample:
                right["background"] = reading.background == sample["background"]
                right["composition"] = right["hit"] and right["background"]
            if "seen" in sample:
                right["hit_seen" if sample["seen"] else "hit_unseen"] = right["hit"]
            self.results.append(right)

    def compute_metrics(self, results: list[dict[str, bool]]) -> dict[str, float]:
        """Average over the samples; see the class."""
        names = ("hit", "shape", "colour", "texture", "background", "composition", "hit_seen", "hit_unseen")
        return shares({name: [r[name] for r in results if name in r] for name in names})
