"""A batch is what the model's contract says, whatever the samples left out."""

import pytest
import torch

from diffkit.datasets import collate_samples


def sample(value: float, **more):
    return {"pixel_values": torch.full((3, 4, 6), value), "prompt": f"p{value}", **more}


def test_what_a_sample_leaves_out_is_filled_in():
    batch = collate_samples([sample(0.0), sample(1.0, key="k", original_size=(9, 8), crop_top_left=(2, 1))])
    assert batch["pixel_values"].shape == (2, 3, 4, 6) and batch["pixel_values"].dtype == torch.float32
    assert batch["prompt"] == ["p0.0", "p1.0"] and batch["key"] == [None, "k"]
    assert batch["is_prior"].tolist() == [False, False] and batch["is_prior"].dtype == torch.bool
    assert batch["original_size"].tolist() == [[4, 6], [9, 8]] and batch["original_size"].dtype == torch.long
    assert batch["crop_top_left"].tolist() == [[0, 0], [2, 1]]


def test_instances_come_before_their_priors():
    pairs = [[sample(1.0), sample(-1.0, is_prior=True)], [sample(2.0), sample(-2.0, is_prior=True)]]
    batch = collate_samples(pairs)
    assert batch["pixel_values"][:, 0, 0, 0].tolist() == [1.0, 2.0, -1.0, -2.0]
    assert batch["is_prior"].tolist() == [False, False, True, True]
    assert batch["prompt"] == ["p1.0", "p2.0", "p-1.0", "p-2.0"]


def test_other_values_are_stacked_or_listed():
    batch = collate_samples(
        [
            sample(0.0, mask=torch.ones(1, 2), weight=0.5, file="a"),
            sample(0.0, mask=torch.zeros(1, 2), weight=1.0, file="b"),
        ]
    )
    assert batch["mask"].tolist() == [[[1.0, 1.0]], [[0.0, 0.0]]]
    assert batch["weight"].tolist() == [0.5, 1.0] and batch["file"] == ["a", "b"]


def test_faults_are_named():
    with pytest.raises(ValueError, match="samples is empty"):
        collate_samples([])
    with pytest.raises(ValueError, match="'mask' is missing in 1 of 2"):
        collate_samples([sample(0.0, mask=torch.ones(1)), sample(0.0)])
    with pytest.raises(ValueError, match=r"one shape, given \[\(3, 4, 4\), \(3, 4, 6\)\]"):
        collate_samples([sample(0.0), {"pixel_values": torch.zeros(3, 4, 4), "prompt": ""}])
