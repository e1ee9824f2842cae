"""Batches of pictures of one size each: the order of the data where a dataset has buckets."""

import hashlib
import json
from collections import defaultdict
from typing import Any

import numpy as np
from torch.utils.data import DataLoader

from diffkit.datasets.draw import Draw
from diffkit.datasets.sampler import DrawSampler, draw_seed
from diffkit.datasets.transforms import Size
from diffkit.registry import DATA_SAMPLERS

_PHASE, _MEMBERS = 2, 3  # streams of the seed, beside those of DrawSampler


@DATA_SAMPLERS.register_module()
class BucketSampler(DrawSampler):
    """A ``DrawSampler`` whose batches take their pictures from one bucket each, so that all have one size.

    The run is a row of batches, a function of the seed alone: step ``s`` of rank ``r`` of ``w`` takes batch
    ``s * w + r``. Ranks may have different buckets in one step; all buckets of a resolution have about as many pixels.

    Each bucket deals out its items in permutations, one after the other; a batch may end one and begin the next, so
    nothing is left over and no batch is short. In an epoch a bucket of ``n`` items has ``n / batch_size`` batches,
    rounded so that over the epochs none gets a batch too many or too few. So all items are seen equally often, but for
    one batch, whatever the sizes of the buckets. A bucket with fewer items than a batch shows some of them several
    times in it, and comes the more seldom.

    Finding the batch of a step costs a few additions for each bucket, at any step.

    Args:
        dataset: has ``item_shapes()``, as ``ConceptDataset`` and ``ImageTextDataset`` with ``buckets``.
        batch_size: of the data loader; the Runner sets it.
        seed: see ``DrawSampler``.
        shuffle: False deals out the items in the dataset's own order, one bucket after the other.
        rank: see ``DrawSampler``.
        world_size: see ``DrawSampler``.
    """

    def __init__(self, dataset: Any, batch_size: int = 1, seed: int | None = None, shuffle: bool = True,
                 rank: int | None = None, world_size: int | None = None) -> None:
        shapes = dataset.item_shapes() if hasattr(dataset, "item_shapes") else []
        if not shapes:
            raise TypeError(
                f"BucketSampler draws from buckets, and {type(dataset).__name__} has none: set its option buckets "
                "(ConceptDataset, ConceptListDataset, ImageTextDataset, HubImageText), or take DrawSampler. Tar shards "
                "cannot be sorted by shape: unpack them into a folder")
        super().__init__(dataset, seed, shuffle, rank, world_size)
        members: dict[Size, list[int]] = defaultdict(list)
        for index, shape in enumerate(shapes):
            members[shape.size].append(index)
        self.buckets = [np.array(indices) for _, indices in sorted(members.items())]
        self._counts = np.array([len(bucket) for bucket in self.buckets])
        self._row: list[tuple[int, int]] = []  # of an epoch's batches: the bucket, and the number of its own
        self._digest = hashlib.sha256(json.dumps([shape.size for shape in shapes]).encode()).hexdigest()[:16]
        self.fill_batches_of(batch_size)

    def fill_batches_of(self, batch_size: int) -> None:
        """Says how many draws make a batch.

        Raises:
            ValueError: it is below 1.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, given {batch_size}")
        self.batch_size = batch_size
        rng = np.random.default_rng(np.random.SeedSequence([self.seed, _PHASE]))
        phases = rng.integers(batch_size, size=len(self.buckets))
        self._phases = phases if self.shuffle else np.full(len(self.buckets), batch_size // 2)
        self._blocks, self._row = range(0), []
        self._dealt: dict[int, tuple[int, np.ndarray]] = {}
        self.start_at(self._start)

    def start_at(self, position: int) -> None:
        """See ``DrawSampler``; of a draw that no step begins with, the next one that does takes the place."""
        super().start_at(position)
        self._shift = -position % (self.batch_size * self.world_size)

    def draw(self, position: int) -> Draw:
        """Returns the global draw of that number."""
        step, rest = divmod(position + self._shift, self.batch_size * self.world_size)
        place, rank = divmod(rest, self.world_size)
        block = step * self.world_size + rank
        if block not in self._blocks:
            self._plan(block)
        bucket, own = self._row[block - self._blocks.start]
        item = self._member(bucket, own * self.batch_size + place)
        return Draw(item, draw_seed(self.seed, block * self.batch_size + place))

    def state(self) -> dict[str, Any]:
        """See ``DrawSampler``."""
        return {**super().state(), "buckets": f"{len(self.buckets)} ({self._digest})", "batch_size": self.batch_size}

    def _before(self, epoch: int) -> np.ndarray:
        """How many batches each bucket has in all epochs before this one."""
        return (epoch * self._counts + self._phases) // self.batch_size

    def _plan(self, block: int) -> None:
        """Finds the epoch of a batch, and which bucket each of the epoch's batches is of."""
        items, slack = int(self._counts.sum()), len(self.buckets)
        low = max(0, (block - slack) * self.batch_size // items)  # no batch too late
        high = (block + slack + 1) * self.batch_size // items + 1  # one too early
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._before(middle).sum() <= block else (low, middle)
        before, after = self._before(low), self._before(low + 1)
        owners = np.repeat(np.arange(len(self.buckets)), after - before)
        if self.shuffle:
            owners = self._rng(low).permutation(owners)
        self._blocks = range(int(before.sum()), int(after.sum()))
        self._row = []
        for bucket in owners.tolist():
            self._row.append((bucket, int(before[bucket])))
            before[bucket] += 1

    def _member(self, bucket: int, number: int) -> int:
        """The item that a bucket deals out as its draw of that number."""
        members = self.buckets[bucket]
        deal, place = divmod(number, len(members))
        if self.shuffle:
            if self._dealt.get(bucket, (-1,))[0] != deal:
                rng = np.random.default_rng(np.random.SeedSequence([self.seed, _MEMBERS, bucket, deal]))
                self._dealt[bucket] = deal, rng.permutation(members)
            members = self._dealt[bucket][1]
        return int(members[place])


def fill_batches(loader: DataLoader) -> None:
    """Tells the sampler of a loader how large its batches are, where it fills them.

    Raises:
        ValueError: the data have buckets, and the sampler mixes them in one batch.
    """
    if hasattr(loader.sampler, "fill_batches_of"):
        loader.sampler.fill_batches_of(loader.batch_size)
        return
    shapes = loader.dataset.item_shapes() if hasattr(loader.dataset, "item_shapes") else []
    if loader.batch_size != 1 and len({shape.size for shape in shapes}) > 1:
        raise ValueError(f"sampler={type(loader.sampler).__name__} mixes pictures of all buckets, and a batch has one "
                         "size: with dataset.buckets set sampler=dict(type=BucketSampler), or batch_size=1")
