"""Drawn pictures with all that they show, to measure what a VAE keeps of it."""

from typing import Any

from diffkit.datasets.draw import Draw, as_draw
from diffkit.datasets.shapes.dataset import ShapesDataset
from diffkit.datasets.shapes.scene import Scene
from diffkit.registry import DATASETS

_ATTRIBUTES = ("shape", "colour", "texture", "size", "position", "background")


def shown(scene: Scene) -> dict[str, str]:
    """Every attribute of a scene, as an analyser can be asked for it."""
    values = {name: str(getattr(scene, name)) for name in _ATTRIBUTES}
    return values if scene.second_colour is None else values | {"second_colour": scene.second_colour}


@DATASETS.register_module()
class ShapesScenes(ShapesDataset):
    """Items of :class:`ShapesDataset`, and in ``expected`` every attribute of the picture.

    Args:
        n: number of pictures.
        resolution: side of the pictures, in pixels.
        seed: another seed gives other pictures; a training set of the same seed and split has the same.
        split: ``"train"``, ``"heldout"`` or ``"all"``.
        textured: share of objects that have a pattern, 0..1.
    """

    metainfo: dict[str, Any] = {}

    def __init__(
        self, n: int, resolution: int = 64, seed: int = 1, split: str = "all", textured: float = 0.5
    ) -> None:
        super().__init__(n, resolution, seed, split, textured, keep_in_memory=False)

    def __getitem__(self, item: int | Draw) -> dict[str, object]:
        sample = super().__getitem__(item)
        scene = self.scene(as_draw(item).index)
        assert scene is not None  # there are no photographs among them
        return {**sample, "expected": shown(scene)}
