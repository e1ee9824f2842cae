"""Short form: a few of the trainings that are killed or stopped. The full form: ``python -m tests.faults``."""

import signal

import pytest

from tests.faults.kill import kill_trial, reference, stop_trial
from tests.faults.training import VARIANTS

VARIANT = next(iter(VARIANTS))


@pytest.fixture(scope="module")
def known(tmp_path_factory, small_sd):
    return reference(tmp_path_factory.mktemp("undisturbed"), small_sd, VARIANT)


@pytest.mark.slow
@pytest.mark.parametrize(("number", "inside"), [(0, True), (1, True), (2, False)])
def test_a_killed_training_goes_on_bit_for_bit(tmp_path, small_sd, known, number, inside):
    trial = kill_trial(number, inside, known, VARIANT, tmp_path, small_sd)
    assert trial["faults"] == []


@pytest.mark.slow
@pytest.mark.parametrize(("number", "kind", "twice"), [(0, signal.SIGTERM, False), (1, signal.SIGINT, True)])
def test_a_stopped_training_goes_on_bit_for_bit(tmp_path, small_sd, known, number, kind, twice):
    trial = stop_trial(number, kind, twice, known, VARIANT, tmp_path, small_sd)
    assert trial["faults"] == []
