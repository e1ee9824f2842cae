"""Pictures and prompts: what a training sees, in an order that depends on nothing but the seed and the step."""

from diffkit.datasets.collate import collate_samples
from diffkit.datasets.draw import Draw, as_draw
from diffkit.datasets.sampler import DrawSampler

__all__ = ["Draw", "DrawSampler", "as_draw", "collate_samples"]
