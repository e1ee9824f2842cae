"""Two processes of one training."""

import pytest

from tests.faults.ranks import gradients_trial, lost_rank_trial
from tests.faults.training import FULL, LORA


@pytest.mark.slow
@pytest.mark.parametrize(("number", "inside"), [(0, True), (1, False)])
def test_the_other_process_ends_and_says_why(tmp_path, sd_folder, number, inside):
    assert lost_rank_trial(number, inside, tmp_path, sd_folder)["faults"] == []


@pytest.mark.slow
@pytest.mark.parametrize("tuner", [LORA["unet"] | {"dropout": 0.0}, FULL["unet"]], ids=["LoRA", "full"])
def test_two_processes_see_the_gradients_of_one_with_twice_the_batch(tmp_path, sd_folder, tuner):
    trial = gradients_trial(tuner, tmp_path, sd_folder)
    assert trial["largest"] > 1e-4
    assert trial["difference"] <= 1e-6
