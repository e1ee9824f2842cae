"""The order of the data depends on the seed, the number of the draw and nothing else."""

from itertools import islice

import pytest
from torch.utils.data import DataLoader, Dataset

from diffkit.datasets import Draw, DrawSampler


class Indexes(Dataset):
    """A dataset whose items are the draws themselves."""

    def __init__(self, length: int) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, draw: Draw) -> Draw:
        return draw


def take(sampler: DrawSampler, count: int) -> list[Draw]:
    return list(islice(sampler, count))


def test_the_same_seed_gives_the_same_draws_and_another_seed_others():
    data = range(7)
    first = take(DrawSampler(data, seed=3), 30)
    assert first == take(DrawSampler(data, seed=3), 30)
    assert first != take(DrawSampler(data, seed=4), 30)
    assert all(0 <= draw.index < 7 and 0 <= draw.seed < 2**63 for draw in first)
    assert len({draw.seed for draw in first}) == 30


@pytest.mark.parametrize("world", [1, 2, 3])
def test_every_epoch_holds_each_sample_once_over_all_ranks(world):
    data = range(6)
    rows = [
        take(DrawSampler(data, seed=0, rank=rank, world_size=world), 18 // world) for rank in range(world)
    ]
    merged = [draw.index for group in zip(*rows, strict=True) for draw in group]
    for epoch in range(3):
        assert sorted(merged[6 * epoch : 6 * epoch + 6]) == list(range(6))
    assert merged[:6] != merged[6:12]


def test_ranks_together_draw_what_one_rank_draws():
    data = range(5)
    alone = take(DrawSampler(data, seed=9), 24)
    ranks = [take(DrawSampler(data, seed=9, rank=rank, world_size=2), 12) for rank in range(2)]
    assert [draw for pair in zip(*ranks, strict=True) for draw in pair] == alone


@pytest.mark.parametrize("position", [0, 1, 6, 7, 13, 100_003])
@pytest.mark.parametrize("world", [1, 2])
def test_a_start_anywhere_equals_going_on(position, world):
    data = range(7)
    for rank in range(world):
        whole = DrawSampler(data, seed=1, rank=rank, world_size=world)
        resumed = DrawSampler(data, seed=1, rank=rank, world_size=world)
        resumed.start_at(position * world)
        assert resumed.position == position * world
        assert take(resumed, 10) == [whole.draw(world * (position + k) + rank) for k in range(10)]


def test_reading_ahead_in_workers_does_not_move_the_position():
    sampler = DrawSampler(Indexes(5), seed=2)
    loader = DataLoader(Indexes(5), batch_size=2, sampler=sampler, num_workers=1, collate_fn=list)
    batches = iter(loader)
    seen = [next(batches) for _ in range(3)]
    assert sampler.position == 0
    again = DrawSampler(Indexes(5), seed=2)
    again.start_at(2 * 2)
    assert seen[2] == take(again, 2)


def test_without_shuffle_the_order_is_the_dataset_s_own():
    assert [draw.index for draw in take(DrawSampler(range(3), seed=0, shuffle=False), 7)] == [
        0,
        1,
        2,
        0,
        1,
        2,
        0,
    ]


def test_mmengine_builds_it_with_the_seed_of_the_run():
    from mmengine.runner import Runner

    from diffkit.datasets import collate_samples  # noqa: F401  registers

    loader = Runner.build_dataloader(
        dict(
            dataset=Indexes(4),
            sampler=dict(type=DrawSampler),
            batch_size=2,
            num_workers=0,
            collate_fn=dict(type=list),
        ),
        seed=11,
    )
    assert next(iter(loader)) == take(DrawSampler(range(4), seed=11), 2)
    assert len(loader) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(dataset=[]), "dataset is empty"),
        (dict(dataset=[1], seed=-1), "seed must be at least 0, given -1"),
        (dict(dataset=[1], seed=0, rank=2, world_size=2), "rank must be in 0..1"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        DrawSampler(**arguments)
    with pytest.raises(ValueError, match="position must be at least 0"):
        DrawSampler([1], seed=0).start_at(-1)
