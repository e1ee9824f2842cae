"""Short form of the long training; memory needs the full form to settle."""

import pytest

from tests.faults.soak import soak_trial


@pytest.mark.slow
def test_open_files_stay_as_they_are(tmp_path, small_sd):
    trial = soak_trial(60, tmp_path, small_sd)
    assert trial["samplings"] == 10
    assert len(trial["files"]) == 1
    assert trial["growth"] < 0.05
