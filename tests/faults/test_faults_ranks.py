"""Two processes of one training."""

import pytest

from tests.faults.ranks import gradients_trial, lost_rank_trial
from tests.faults.training import LORA


@pytest.mark.slow
@pytest.mark.parametrize(("number", "inside"), [(0, True), (1, False)])
def test_the_other_process_ends_and_says_why(tmp_path, small_sd, number, inside):
    assert lost_rank_trial(number, inside, tmp_path, small_sd)["faults"] == []


@pytest.mark.slow
def test_two_processes_see_the_gradients_of_one_with_twice_the_batch(tmp_path, small_sd):
    trial = gradients_trial(LORA["unet"] | {"dropout": 0.0}, tmp_path, small_sd)
    assert trial["largest"] > 1e-4
    assert trial["difference"] <= 1e-6
