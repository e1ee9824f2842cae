"""A full disk: nothing that was there is lost, the message says what is needed, and the training goes on.

Some of the cases; all of them are in the full form.
"""

import pytest

from tests.faults.disk import NoSmallDisk, disk_trial
from tests.faults.training import BESIDE


@pytest.mark.slow
@pytest.mark.parametrize(("case", "more"), [
    ("before step 0", None), ("in a checkpoint", None), ("in log and tracker", None),
    ("in a checkpoint", next(iter(BESIDE.values()))),
])
def test_a_full_disk(fault_work, small_sd, case, more):
    try:
        trial = disk_trial(case, fault_work, small_sd, more)
    except NoSmallDisk as error:
        pytest.skip(str(error))
    assert trial["faults"] == []
