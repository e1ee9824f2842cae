"""Batches of one bucket each: a function of seed, step and rank, in which every item comes equally often."""

from collections import Counter
from itertools import islice

import numpy as np
import pytest
from torch.utils.data import DataLoader

from diffkit.datasets import BucketSampler, DrawSampler, ItemShape
from diffkit.datasets.bucket_sampler import fill_batches

SIZES = {(8, 8): 13, (8, 16): 5, (16, 8): 2, (24, 8): 1}


class Shaped:
    """Items of several shapes, mixed; an item is its draw and its size."""

    def __init__(self, sizes=SIZES):
        sizes = [size for size, count in sizes.items() for _ in range(count)]
        order = np.random.default_rng(0).permutation(len(sizes))
        self.sizes = [sizes[i] for i in order]

    def __len__(self):
        return len(self.sizes)

    def item_shapes(self):
        return [ItemShape((100, 100), size) for size in self.sizes]

    def __getitem__(self, draw):
        return draw, self.sizes[draw.index]


def batches_of(rank, world, steps, batch=4, start=0, data=None, **options):
    """The draws of each step of one process, as its data loader gathers them."""
    sampler = BucketSampler(data or Shaped(), batch, rank=rank, world_size=world, **({"seed": 3} | options))
    sampler.start_at(start * batch * world)
    draws = iter(sampler)
    return [list(islice(draws, batch)) for _ in range(steps)]


def buckets(batches, data=None):
    """The sizes in each batch."""
    sizes = (data or Shaped()).sizes
    return [{sizes[draw.index] for draw in batch} for batch in batches]


@pytest.mark.parametrize("batch", [1, 2, 4, 7, 16])
def test_a_batch_has_one_size(batch):
    assert all(len(found) == 1 for found in buckets(batches_of(0, 1, 200, batch)))


@pytest.mark.parametrize("world", [1, 2, 3])
def test_every_step_is_the_same_after_a_resume_there(world):
    for rank in range(world):
        whole = batches_of(rank, world, 30)
        for start in range(30):
            assert batches_of(rank, world, 2, start=start) == whole[start : start + 2] or start == 29
            assert batches_of(rank, world, 1, start=start) == [whole[start]]


def test_a_far_step_is_found_at_once_and_is_the_same():
    sampler = BucketSampler(Shaped(), 4, seed=3, rank=0, world_size=1)
    sampler.start_at(4 * 10**9)
    far = list(islice(iter(sampler), 8))
    sampler.start_at(4 * (10**9 + 1))
    assert list(islice(iter(sampler), 4)) == far[4:]
    assert len({Shaped().sizes[draw.index] for draw in far[:4]}) == 1


@pytest.mark.parametrize("world", [2, 3])
def test_ranks_split_the_row_of_one_process(world):
    alone = batches_of(0, 1, 12)
    together = [batches_of(rank, world, 12 // world) for rank in range(world)]
    assert [together[block % world][block // world] for block in range(12)] == alone
    assert any(a != b for a, b in zip(*[buckets(each) for each in together[:2]], strict=True)), "they may differ"


@pytest.mark.parametrize(("batch", "world"), [(4, 1), (4, 2), (1, 1), (7, 1), (16, 1), (5, 3)])
def test_each_item_is_seen_equally_often_to_one_batch(batch, world):
    epochs, data = 40, Shaped()
    steps = epochs * len(data) // (batch * world)
    counts = Counter()
    for rank in range(world):
        for drawn in batches_of(rank, world, steps, batch):
            counts.update(draw.index for draw in drawn)
    for size, members in SIZES.items():
        seen = [counts[i] for i, own in enumerate(data.sizes) if own == size]
        assert max(seen) - min(seen) <= 1, "a bucket deals out permutations"
        expected = steps * batch * world / len(data)
        bound = 1 + (batch + len(SIZES) * batch * world / len(data)) / members  # one batch, and the epoch begun last
        assert all(abs(count - expected) <= bound for count in seen)


def test_at_every_epoch_a_bucket_has_its_share_of_batches():
    sampler = BucketSampler(Shaped(), 4, seed=1, rank=0, world_size=1)
    counts = np.array([len(bucket) for bucket in sampler.buckets])
    for epoch in range(100):
        before = sampler._before(epoch)
        assert (np.abs(before - epoch * counts / 4) < 1).all()


def test_the_mean_over_seeds_is_fair_to_small_buckets_from_the_start():
    data, steps = Shaped(), 5  # about one epoch of 21 items
    counts = Counter(data.sizes[draw.index] for seed in range(400) for drawn in batches_of(0, 1, steps, seed=seed)
                     for draw in drawn)
    for size, members in SIZES.items():
        share = counts[size] / (400 * steps * 4)
        assert share == pytest.approx(members / len(data), abs=0.03)


def test_a_small_bucket_fills_its_batch_by_coming_again():
    data = Shaped({(8, 8): 6, (16, 8): 1})
    small = [drawn for drawn in batches_of(0, 1, 60, 4, data=data) if buckets([drawn], data) == [{(16, 8)}]]
    assert small and all(len({draw.index for draw in drawn}) == 1 for drawn in small)
    assert all(len({draw.seed for draw in drawn}) == 4 for drawn in small), "with chance of its own each time"


def test_seeds_differ_and_decide():
    assert batches_of(0, 1, 8, seed=1) == batches_of(0, 1, 8, seed=1) != batches_of(0, 1, 8, seed=2)
    draws = [draw for drawn in batches_of(0, 1, 100) for draw in drawn]
    assert len({draw.seed for draw in draws}) == 400


def test_without_shuffling_each_bucket_keeps_the_order_of_the_dataset():
    data = Shaped()
    drawn = [draw.index for batch in batches_of(0, 1, 50, shuffle=False) for draw in batch]
    for size, members in SIZES.items():
        own = [i for i, each in enumerate(data.sizes) if each == size]
        found = [index for index in drawn if data.sizes[index] == size]
        assert found == (own * (len(found) // members + 1))[: len(found)]


def test_any_draw_is_what_the_iterator_gives_there():
    for start in (0, 24, 25):  # the last is where a run with other batches stopped
        sampler = BucketSampler(Shaped(), 4, seed=3, rank=1, world_size=3)
        sampler.start_at(start)
        drawn = list(islice(iter(sampler), 12))
        assert [sampler.draw(start + 1 + 3 * number) for number in range(12)] == drawn
        assert all(len({Shaped().sizes[draw.index] for draw in drawn[i : i + 4]}) == 1 for i in (0, 4, 8))


def test_a_loader_says_how_large_its_batches_are():
    data = Shaped()
    sampler = BucketSampler(data, seed=0, rank=0, world_size=1)
    loader = DataLoader(data, batch_size=6, sampler=sampler, collate_fn=list)
    fill_batches(loader)
    assert sampler.state()["batch_size"] == 6
    for batch in islice(loader, 40):
        assert len(batch) == 6 and len({size for _, size in batch}) == 1


def test_a_sampler_that_mixes_sizes_is_refused():
    data = Shaped()
    sampler = DrawSampler(data, seed=0, rank=0, world_size=1)
    with pytest.raises(ValueError, match=r"sampler=DrawSampler mixes .* sampler=dict\(type=BucketSampler\)"):
        fill_batches(DataLoader(data, batch_size=2, sampler=sampler))
    fill_batches(DataLoader(data, batch_size=1, sampler=sampler))
    one = Shaped({(8, 8): 4})
    fill_batches(DataLoader(one, batch_size=2, sampler=DrawSampler(one, seed=0, rank=0, world_size=1)))


def test_data_without_buckets_are_refused():
    with pytest.raises(TypeError, match=r"list has none: set its option buckets .* or take DrawSampler. Tar shards"):
        BucketSampler([1, 2])
    with pytest.raises(ValueError, match="batch_size must be at least 1, given 0"):
        BucketSampler(Shaped(), 0)


def test_the_state_tells_other_buckets():
    states = [BucketSampler(Shaped(sizes), 4, seed=0, rank=0, world_size=1).state()
              for sizes in (SIZES, SIZES, {(8, 8): 14, (8, 16): 5, (16, 8): 1, (24, 8): 1})]
    assert states[0] == states[1] and states[0]["buckets"] != states[2]["buckets"]
    assert states[0]["length"] == states[2]["length"] == 21
