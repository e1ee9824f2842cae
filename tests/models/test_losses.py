import math

import pytest
import torch

from diffkit.models.losses import (
    DebiasedWeight,
    HuberLoss,
    MinSNRWeight,
    MSELoss,
    RelativeMSELoss,
    SmoothL1Loss,
    snr_of,
    weighted_mean,
)

LOSSES = [MSELoss(), HuberLoss(0.7), SmoothL1Loss(0.3), RelativeMSELoss()]


def sd_alphas_cumprod():
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float32) ** 2
    return torch.cumprod(1 - betas, 0)


@pytest.mark.parametrize(("loss", "small", "large"), [
    (MSELoss(), 0.04, 9.0),
    (HuberLoss(0.5), 0.02, 0.5 * (3 - 0.25)),
    (HuberLoss(), 0.02, 2.5),
    (SmoothL1Loss(0.5), 0.04, 3 - 0.25),
])
def test_closed_form_of_each_sample(loss, small, large):
    target = torch.zeros(2, 3, 4, 5)
    prediction = torch.stack([torch.full((3, 4, 5), 0.2), torch.full((3, 4, 5), -3.0)])
    torch.testing.assert_close(loss(prediction, target), torch.tensor([small, large]))


def test_a_relative_error_does_not_depend_on_the_size_of_the_target():
    loss, target = RelativeMSELoss(), torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    expected = ((0.1 * target) ** 2).flatten(1).mean(1) / (target ** 2).flatten(1).mean(1)
    for size in (1e-2, 1.0, 1e3):
        torch.testing.assert_close(loss(1.1 * size * target, size * target), expected)
    assert loss(target, target).tolist() == [0.0, 0.0]
    assert loss(torch.zeros(1, 4), torch.zeros(1, 4)).tolist() == [0.0]


@pytest.mark.parametrize("loss", LOSSES)
def test_half_precision_is_computed_in_float32(loss):
    prediction, target = torch.full((1, 70000), 1.0).half(), torch.zeros(1, 70000).half()
    value = loss(prediction, target)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, loss(prediction.float(), target.float()))


@pytest.mark.parametrize("loss", LOSSES)
def test_no_silent_broadcast(loss):
    with pytest.raises(ValueError, match=r"one shape.*\(2, 3\).*\(2, 1\)"):
        loss(torch.zeros(2, 3), torch.zeros(2, 1))


def test_snr_and_min_snr_of_the_sd_schedule():
    steps = torch.tensor([0, 100, 500, 900, 999])
    snr = snr_of(sd_alphas_cumprod(), steps)
    weight = MinSNRWeight(5.0)
    for given, expected in [
        (snr, [1175.44, 8.4539, 0.38185, 0.01435, 0.00468]),
        (weight(snr, "epsilon"), [0.004254, 0.591445, 1, 1, 1]),
        (weight(snr, "v_prediction"), [0.00425, 0.528884, 0.276332, 0.014151, 0.00466]),
        (weight(snr, "sample"), [5, 5, 0.38185, 0.01435, 0.00468]),
    ]:
        torch.testing.assert_close(given, torch.tensor(expected), rtol=1e-3, atol=0)


def test_debiased_weight_closed_form():
    snr = torch.tensor([4.0, 0.25])
    weight = DebiasedWeight()
    torch.testing.assert_close(weight(snr, "epsilon"), torch.tensor([0.5, 2.0]))
    torch.testing.assert_close(weight(snr, "v_prediction"), torch.tensor([0.4, 0.4]))
    torch.testing.assert_close(weight(snr, "sample"), torch.tensor([2.0, 0.5]))


@pytest.mark.parametrize(("weight", "limits"), [
    (MinSNRWeight(5.0), {"epsilon": (1, 0), "v_prediction": (0, 0), "sample": (0, 5)}),
    (DebiasedWeight(50.0), {"epsilon": (50, 0), "v_prediction": (0, 0), "sample": (0, 50)}),
])
def test_weights_at_the_ends_of_the_schedule(weight, limits):
    snr = snr_of(torch.tensor([1.0, 0.0]), torch.tensor([1, 0]))
    assert snr.tolist() == [0.0, math.inf]
    for prediction_type, values in limits.items():
        assert weight(snr, prediction_type).tolist() == list(values)


@pytest.mark.parametrize("weight", [MinSNRWeight(), DebiasedWeight()])
def test_weights_refuse_an_unknown_prediction_type(weight):
    with pytest.raises(ValueError, match="epsilon, v_prediction, sample, not 'v'"):
        weight(torch.ones(1), "v")


def test_bad_parameters_are_named():
    with pytest.raises(ValueError, match="gamma must be above 0, not 0"):
        MinSNRWeight(0)
    with pytest.raises(ValueError, match="delta must be above 0, not -1"):
        HuberLoss(-1)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("weighted", [False, True])
def test_prior_weight_zero_equals_instance_only(loss, weighted):
    prediction = torch.randn(5, 3, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    target, is_prior = torch.zeros(5, 3, 4), torch.tensor([False, True, False, True, True])
    sample_weight = torch.tensor([0.3, 2.0, 1.7, 0.1, 5.0]) if weighted else None
    both = weighted_mean(loss(prediction, target), sample_weight, is_prior, 0.0)
    both.backward()
    alone = prediction.detach()[~is_prior].requires_grad_()
    own_weight = sample_weight[~is_prior] if weighted else None
    only = weighted_mean(loss(alone, target[~is_prior]), own_weight, torch.zeros(2, dtype=bool), 0.0)
    only.backward()
    assert torch.equal(both, only)
    torch.testing.assert_close(prediction.grad[~is_prior], alone.grad, rtol=1e-6, atol=0)
    assert not prediction.grad[is_prior].any()


def test_weighted_mean_adds_the_two_means():
    value = weighted_mean(torch.tensor([1.0, 3.0, 10.0]), torch.tensor([1.0, 2.0, 0.5]),
                          torch.tensor([False, False, True]), 0.2)
    assert value.item() == pytest.approx((1 + 6) / 2 + 0.2 * 5)


def test_weighted_mean_without_one_of_the_kinds_is_finite():
    per_sample = torch.tensor([2.0, 4.0], requires_grad=True)
    assert weighted_mean(per_sample, None, torch.zeros(2, dtype=bool)).item() == 3
    assert weighted_mean(per_sample, None, torch.ones(2, dtype=bool), 0.5).item() == 1.5
    nothing = weighted_mean(per_sample, None, torch.ones(2, dtype=bool), 0.0)
    nothing.backward()
    assert nothing.item() == 0 and not per_sample.grad.any()
    assert weighted_mean(torch.tensor([1.0, math.inf]), None, torch.tensor([False, True]), 0.0).item() == 1


def test_weighted_mean_refuses_bad_arguments():
    with pytest.raises(ValueError, match="prior_loss_weight must be 0 or more, not -1"):
        weighted_mean(torch.ones(2), None, torch.zeros(2, dtype=bool), -1)
    with pytest.raises(ValueError, match=r"one shape \[B\]"):
        weighted_mean(torch.ones(2), None, torch.zeros(3, dtype=bool))
