"""The order of the data: a pure function of the seed and of the number of the draw."""

from collections.abc import Iterator, Sized
from typing import Any

import numpy as np
from mmengine.dist import get_dist_info, sync_random_seed
from torch.utils.data import Sampler

from diffkit.datasets.draw import Draw
from diffkit.registry import DATA_SAMPLERS

_ORDER, _CONTENT = 0, 1  # two streams of one seed: which sample, and what is random about it


@DATA_SAMPLERS.register_module()
class DrawSampler(Sampler[Draw]):
    """Endless draws; draw number ``p`` of the run is the same whoever asks for it, and whenever.

    The draws of all ranks form one global row. Draw ``p`` belongs to epoch ``p // n``, whose order is a
    permutation seeded by ``(seed, epoch)``: over all ranks, each sample comes once in an epoch. Rank ``r`` of
    ``w`` takes the draws ``start + r, start + r + w, …``, so that one step of ``w`` ranks sees the same
    samples as one step of a single rank with a batch ``w`` times as large.

    Nothing here depends on how far a data loader has read ahead: ``start_at`` says where the next iterator
    begins, and the training loop computes that from its step count. Resuming costs one permutation at any
    step.

    Args:
        dataset: what is drawn from; only its length is used.
        seed: of the order and of every draw, at least 0; None takes a random one, the same on all ranks.
        shuffle: False keeps the dataset's own order in every epoch.
        rank: of this process; None asks torch.distributed.
        world_size: number of processes; None asks torch.distributed.
    """

    def __init__(
        self,
        dataset: Sized,
        seed: int | None = None,
        shuffle: bool = True,
        rank: int | None = None,
        world_size: int | None = None,
    ) -> None:
        if len(dataset) < 1:
            raise ValueError("dataset is empty: there is nothing to draw")
        if seed is not None and seed < 0:
            raise ValueError(f"seed must be at least 0, given {seed}")
        own_rank, own_world = get_dist_info()
        self.rank = own_rank if rank is None else rank
        self.world_size = own_world if world_size is None else world_size
        if not 0 <= self.rank < self.world_size:
            raise ValueError(f"rank must be in 0..{self.world_size - 1} (world_size - 1), given {self.rank}")
        self.dataset = dataset
        self.seed = sync_random_seed() if seed is None else seed
        self.shuffle = shuffle
        self._start = 0
        self._epoch = -1
        self._order = np.arange(0)

    @property
    def position(self) -> int:
        """Number of the global draw at which the next iterator begins."""
        return self._start

    def start_at(self, position: int) -> None:
        """Lets the next iterator begin at a global draw: ``steps * batch_size * world_size``."""
        if position < 0:
            raise ValueError(f"position must be at least 0, given {position}")
        self._start = position

    def draw(self, position: int) -> Draw:
        """Returns the global draw of that number."""
        epoch, offset = divmod(position, len(self.dataset))
        if epoch != self._epoch or len(self._order) != len(self.dataset):
            self._order, self._epoch = self._permutation(epoch), epoch
        return Draw(int(self._order[offset]), draw_seed(self.seed, position))

    def __iter__(self) -> Iterator[Draw]:
        position = self._start + self.rank
        while True:
            yield self.draw(position)
            position += self.world_size

    def __len__(self) -> int:
        """Draws of this rank in one epoch, rounded up (the iterator itself never ends)."""
        return -(-len(self.dataset) // self.world_size)

    def set_epoch(self, epoch: int) -> None:
        """Does nothing: the epoch follows from the position (MMEngine calls this)."""

    def state(self) -> dict[str, Any]:
        """What, beside the position, decides the order; a resumed run compares it with its own."""
        return {
            "seed": self.seed,
            "shuffle": self.shuffle,
            "length": len(self.dataset),
            "world_size": self.world_size,
        }

    def _permutation(self, epoch: int) -> np.ndarray:
        if not self.shuffle:
            return np.arange(len(self.dataset))
        return self._rng(epoch).permutation(len(self.dataset))

    def _rng(self, epoch: int) -> np.random.Generator:
        """What orders an epoch."""
        return np.random.default_rng(np.random.SeedSequence([self.seed, _ORDER, epoch]))


def draw_seed(seed: int, position: int) -> int:
    """The seed of all that is random about a draw, in ``range(2**63)``."""
    state = np.random.SeedSequence([seed, _CONTENT, position]).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(1))
