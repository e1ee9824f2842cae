"""How often a picture of the shapes world shows what its prompt asks for."""

from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.evaluator import BaseMetric

from diffkit.evaluation.shapes_analyser import analyse
from diffkit.evaluation.shares import require, shares
from diffkit.registry import METRICS

ATTRIBUTES = ("shape", "colour", "background", "size", "position", "texture")


def attribute_shares(results: Sequence[Mapping[str, bool]]) -> dict[str, float]:
    """Shares by attribute, and of ``sc`` (shape and colour both right), where a result has the attribute."""
    both = [r["shape"] and r["colour"] for r in results if "shape" in r and "colour" in r]
    return shares({"sc": both, **{name: [r[name] for r in results if name in r] for name in ATTRIBUTES}})


@METRICS.register_module()
class PromptAccuracy(BaseMetric):
    """Shares of pictures that are right, attribute by attribute, as ``analyse`` reads them.

    ``process`` takes samples with ``image`` (uint8 ``[H, W, 3]`` or PIL) and ``expected`` (the attributes
    that the prompt names). For each attribute, and for ``sc`` (shape and colour both right), the result has
    the accuracy over the prompts that name it, its standard error (``..._se``) and their number (``..._n``).
    What no prompt names is left out. Samples of :class:`~diffkit.datasets.NamedGroups` have a ``group``; then
    there is one result for each group, named ``group/sc`` and so on.

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
            require(sample, "image", "expected")
            right = analyse(sample["image"], self.resolution).matches(sample["expected"])
            self.results.append((sample.get("group", ""), right))

    def compute_metrics(self, results: list[tuple[str, dict[str, bool]]]) -> dict[str, float]:
        """Average over the samples of each group; see the class."""
        metrics: dict[str, float] = {}
        for group in dict.fromkeys(group for group, _ in results):
            found = attribute_shares([right for name, right in results if name == group])
            metrics |= {f"{group}/{name}" if group else name: value for name, value in found.items()}
        return metrics
