"""Short form: a few of the trainings that are killed or stopped. The full form: ``python -m tests.faults``."""

import signal

import pytest

from tests.faults.kill import kill_trial, reference, stop_trial
from tests.faults.training import BESIDE, VARIANTS

VARIANT, WRITTEN_BESIDE = next(iter(VARIANTS)), next(iter(BESIDE))


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


@pytest.fixture(scope="module")
def known_beside(tmp_path_factory, small_sd):
    return reference(tmp_path_factory.mktemp("beside"), small_sd, WRITTEN_BESIDE)


@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 1])
def test_a_training_that_is_killed_while_one_is_written_beside_it_goes_on(tmp_path, small_sd, known_beside, number):
    trial = kill_trial(number, True, known_beside, WRITTEN_BESIDE, tmp_path, small_sd)
    assert trial["faults"] == []


@pytest.mark.slow
def test_a_training_that_is_stopped_waits_for_what_is_written_beside_it(tmp_path, small_sd, known_beside):
    trial = stop_trial(0, signal.SIGTERM, False, known_beside, WRITTEN_BESIDE, tmp_path, small_sd)
    assert trial["faults"] == []
