import pytest
import torch

from diffkit.models.timesteps import (
    CubicTimesteps,
    EarlierTimesteps,
    LaterTimesteps,
    RangeTimesteps,
    UniformTimesteps,
)

BINS, DRAWS, T = 20, 20000, 1000
CHI2_19_AT_1E_4 = 53.0  # a right sampler exceeds this in one of 10,000 seeds


def biased(first, last, multiplier=5.0):
    """Probabilities of the 20 bins when those from ``first`` to ``last`` weigh ``multiplier``."""
    weights = torch.ones(BINS, dtype=torch.float64)
    weights[first:last] = multiplier
    return weights / weights.sum()


def cubic():
    edges = torch.linspace(0, 1, BINS + 1, dtype=torch.float64)
    return (1 - (1 - edges) ** (1 / 3)).diff()


@pytest.mark.parametrize(("sampler", "expected"), [
    (UniformTimesteps(), biased(0, 0)),
    (RangeTimesteps(), biased(5, 15)),
    (RangeTimesteps(0.1, 0.2, 0.5), biased(2, 4, 0.5)),
    (EarlierTimesteps(), biased(0, 5)),
    (LaterTimesteps(0.1, 3.0), biased(18, 20, 3.0)),
    (CubicTimesteps(), cubic()),
])
def test_distribution(sampler, expected):
    steps = sampler(DRAWS, T, "cpu", generator=torch.Generator().manual_seed(0))
    assert steps.dtype == torch.long and steps.shape == (DRAWS,) and steps.min() >= 0 and steps.max() < T
    counts = torch.bincount(steps * BINS // T, minlength=BINS).double()
    chi2 = ((counts - expected * DRAWS) ** 2 / (expected * DRAWS)).sum().item()
    assert chi2 < CHI2_19_AT_1E_4
    assert torch.equal(steps, sampler(DRAWS, T, "cpu", generator=torch.Generator().manual_seed(0)))


def test_a_wrong_distribution_would_be_noticed():
    steps = UniformTimesteps()(DRAWS, T, generator=torch.Generator().manual_seed(0))
    counts = torch.bincount(steps * BINS // T, minlength=BINS).double()
    expected = biased(5, 15, 1.3) * DRAWS
    assert ((counts - expected) ** 2 / expected).sum().item() > CHI2_19_AT_1E_4


@pytest.mark.parametrize("sampler", [UniformTimesteps(), RangeTimesteps(), CubicTimesteps()])
def test_a_schedule_of_one_step(sampler):
    assert sampler(4, 1).tolist() == [0, 0, 0, 0]


def test_bad_parameters_are_named():
    with pytest.raises(ValueError, match=r"0 <= begin < end <= 1, not 0\.8 and 0\.2"):
        RangeTimesteps(0.8, 0.2)
    with pytest.raises(ValueError, match="multiplier must be above 0, not 0"):
        RangeTimesteps(multiplier=0)
    with pytest.raises(ValueError, match=r"portion must be in \(0, 1\], not 1.5"):
        LaterTimesteps(1.5)
