"""Draws that stay within a few shards for a while, so that large data are read from front to end."""

from typing import Any

import numpy as np

from diffkit.datasets.sampler import DrawSampler
from diffkit.registry import DATA_SAMPLERS


@DATA_SAMPLERS.register_module()
class ShardSampler(DrawSampler):
    """A ``DrawSampler`` whose epochs go through the shards ``window`` at a time, in an order and mixed by the seed.

    It is as much a function of the seed and the number of the draw, so it resumes bit by bit and splits over ranks and
    workers alike. Samples of far shards never share a batch: prefer ``DrawSampler`` where the disk is fast enough.

    Args:
        dataset: has ``shard_sizes()``, as ``TarImageText``.
        window: shards that are mixed, 1 or more.
        seed: see ``DrawSampler``.
        shuffle: see ``DrawSampler``.
        rank: see ``DrawSampler``.
        world_size: see ``DrawSampler``.
    """

    def __init__(self, dataset: Any, window: int = 4, seed: int | None = None, shuffle: bool = True,
                 rank: int | None = None, world_size: int | None = None) -> None:
        if window < 1:
            raise ValueError(f"window must be at least 1, given {window}")
        if not hasattr(dataset, "shard_sizes"):
            raise TypeError(f"ShardSampler draws from shards, as of TarImageText; {type(dataset).__name__} has none: "
                            "take DrawSampler")
        super().__init__(dataset, seed, shuffle, rank, world_size)
        self.window = window
        self._sizes = list(dataset.shard_sizes())

    def state(self) -> dict[str, Any]:
        """See ``DrawSampler``."""
        return {**super().state(), "window": self.window, "shards": len(self._sizes)}

    def _permutation(self, epoch: int) -> np.ndarray:
        if not self.shuffle:
            return super()._permutation(epoch)
        rng = self._rng(epoch)
        begins = np.concatenate([[0], np.cumsum(self._sizes)])
        shards = rng.permutation(len(self._sizes))
        mixed = []
        for first in range(0, len(shards), self.window):
            together = shards[first : first + self.window]
            mixed.append(rng.permutation(np.concatenate([np.arange(begins[i], begins[i + 1]) for i in together])))
        return np.concatenate(mixed)
