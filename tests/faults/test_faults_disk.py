"""A full disk: nothing that was there is lost, the message says what is needed, and the training goes on.

Some of the cases; all of them are in the full form.
"""

import pytest

from tests.faults.disk import NoSmallDisk, disk_trial


@pytest.mark.slow
@pytest.mark.parametrize("case", ["before step 0", "in a checkpoint", "in log and tracker"])
def test_a_full_disk(fault_work, small_sd, case):
    try:
        trial = disk_trial(case, fault_work, small_sd)
    except NoSmallDisk as error:
        pytest.skip(str(error))
    assert trial["faults"] == []
