"""Prompts for evaluation, with what a right picture must show."""

import numpy as np
from torch.utils.data import Dataset

from diffkit.datasets.shapes.captions import Wording, expected, full_wording, write
from diffkit.datasets.shapes.scene import SPLITS, Scene, random_scene
from diffkit.registry import DATASETS

#: Kinds of prompts, and the share of them whose object has a pattern.
KINDS = {"plain": 0.0, "textured": 1.0, "mixed": 0.5}


@DATASETS.register_module()
class ShapesPrompts(Dataset):
    """A fixed list of prompts. Item ``i`` is the same whatever ``n`` is.

    An item has ``prompt``, ``expected`` (the attributes that the prompt names, see
    :func:`diffkit.datasets.shapes.captions.expected`) and ``seed``, for the noise that the picture
    starts from.

    Args:
        n: number of prompts.
        seed: another seed gives other prompts.
        split: ``"train"``, ``"heldout"`` or ``"all"``, as for ``random_scene``.
        kind: ``"plain"``, ``"textured"`` or ``"mixed"`` (half and half).
        name_size: whether the prompts name the size.
        name_position: whether the prompts name the position.
    """

    metainfo: dict[str, object] = {}

    def __init__(
        self,
        n: int,
        seed: int = 0,
        split: str = "all",
        kind: str = "plain",
        name_size: bool = True,
        name_position: bool = True,
    ) -> None:
        if n < 1:
            raise ValueError(f"n must be at least 1, got {n}")
        if split not in SPLITS:
            raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {split!r}")
        if kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")
        self.n = n
        self.seed = seed
        self.split = split
        self.kind = kind
        self.name_size = name_size
        self.name_position = name_position

    def __len__(self) -> int:
        return self.n

    def scene(self, index: int) -> Scene:
        """A scene that the prompt ``index`` describes."""
        # The last number keeps these scenes apart from those of a ShapesDataset with the same seed.
        rng = np.random.default_rng([self.seed, SPLITS.index(self.split), index, 1])
        return random_scene(rng, self.split, KINDS[self.kind])

    def __getitem__(self, index: int) -> dict[str, object]:
        if not 0 <= index < self.n:
            raise IndexError(f"index must be between 0 and {self.n - 1}, got {index}")
        scene = self.scene(index)
        full = full_wording(scene)
        wording = Wording(texture=full.texture, size=self.name_size, position=self.name_position)
        return {
            "prompt": write(scene, wording),
            "expected": expected(scene, wording),
            "seed": self.seed * 100_003 + index,
        }
