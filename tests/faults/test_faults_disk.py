"""A full disk: nothing that was there is lost, the message says what is needed, and the training goes on."""

import pytest

from tests.faults.disk import CASES, NoSmallDisk, disk_trial


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_a_full_disk(tmp_path_factory, sd_folder, case):
    work = tmp_path_factory.getbasetemp() / "full_disk"
    work.mkdir(exist_ok=True)
    try:
        trial = disk_trial(case, work, sd_folder)
    except NoSmallDisk as error:
        pytest.skip(str(error))
    assert trial["faults"] == []
