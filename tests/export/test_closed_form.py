"""The merge of several concepts' matrices: its constraint holds, and nothing that holds it disturbs less."""

import pytest
import torch
from torch.nn import functional

from diffkit.export.closed_form import constrained_update, distinct_rows


@pytest.fixture
def problem():
    generator = torch.Generator().manual_seed(0)
    weight, ordinary, targets, values = (
        torch.randn(shape, generator=generator) for shape in ((10, 12), (50, 12), (4, 12), (4, 10)))
    return weight, ordinary * torch.linspace(0.1, 3, 12), targets, values


def disturbance(new, weight, ordinary):
    return ((new - weight).double() @ ordinary.double().T).square().sum().item()


def test_targets_have_their_values(problem):
    weight, ordinary, targets, values = problem
    new = constrained_update(weight, ordinary, targets, values)
    assert (new @ targets.T - values.T).abs().max() < 1e-4
    assert (weight @ targets.T - values.T).abs().max() > 1, "they had them before: the test is void"


def test_nothing_that_holds_the_constraint_disturbs_less(problem):
    weight, ordinary, targets, values = problem
    new = constrained_update(weight, ordinary, targets, values, ridge=0)
    least = disturbance(new, weight, ordinary)
    free = torch.eye(12) - torch.linalg.pinv(targets) @ targets  # what can be added and leaves the targets alone
    for seed in range(20):
        other = new + 0.05 * torch.randn(10, 12, generator=torch.Generator().manual_seed(seed)) @ free
        assert (other @ targets.T - values.T).abs().max() < 1e-3 and disturbance(other, weight, ordinary) > least
    shortest = weight + (torch.linalg.pinv(targets) @ (values - targets @ weight.T)).T  # another that holds it
    assert (shortest @ targets.T - values.T).abs().max() < 1e-4
    assert disturbance(shortest, weight, ordinary) > 1.01 * least


def test_it_is_the_formula_of_the_paper(problem):
    weight, ordinary, targets, values = (value.double() for value in problem)
    directions = targets @ torch.linalg.inv(ordinary.T @ ordinary)
    expected = weight + (values.T - weight @ targets.T) @ torch.linalg.inv(directions @ targets.T) @ directions
    assert torch.allclose(constrained_update(weight, ordinary, targets, values, ridge=0), expected, atol=1e-8)


def test_where_ordinary_features_do_not_reach_the_matrix_stays_small():
    """Features after a layer norm: their sum is 0, so that nothing is known of one direction but rounding."""
    generator = torch.Generator().manual_seed(0)
    weight, values = torch.randn(10, 12, generator=generator), torch.randn(4, 10, generator=generator)
    ordinary, targets = (functional.layer_norm(torch.randn(n, 12, generator=generator), (12,)) for n in (50, 4))
    new = constrained_update(weight, ordinary, targets, values)
    assert (new @ targets.T - values.T).abs().max() < 1e-4 and (new - weight).norm() < 3 * weight.norm()
    shortest = weight + (torch.linalg.pinv(targets) @ (values - targets @ weight.T)).T
    assert disturbance(new, weight, ordinary) < disturbance(shortest, weight, ordinary)


def test_what_is_right_already_stays(problem):
    weight, ordinary, targets, _ = problem
    assert torch.allclose(constrained_update(weight, ordinary, targets, targets @ weight.T), weight, atol=1e-5)


def test_few_ordinary_features_are_enough(problem):
    weight, ordinary, targets, values = problem
    new = constrained_update(weight, ordinary[:3], targets, values)
    assert (new @ targets.T - values.T).abs().max() < 1e-3 and new.isfinite().all()


def test_two_values_for_one_feature_are_refused(problem):
    weight, ordinary, targets, values = problem
    with pytest.raises(ValueError, match="4 features in 12 dimensions cannot all be given values of their own"):
        constrained_update(weight, ordinary, targets[[0, 1, 2, 2]], values)
    with pytest.raises(ValueError, match="cannot all be given values"):
        constrained_update(weight, ordinary, torch.randn(13, 12), torch.randn(13, 10))


def test_equal_rows_are_found():
    rows = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1e-7], [1.0, 0.1]])
    assert distinct_rows(rows) == [0, 1, 3]
