"""What is not finite is named and skipped, at most so often; no checkpoint holds any of it."""

import pytest

from tests.faults.nonfinite import CASES, nonfinite_trial


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_a_value_that_is_not_finite(tmp_path_factory, sd_folder, case):
    work = tmp_path_factory.getbasetemp() / "nonfinite"
    work.mkdir(exist_ok=True)
    assert nonfinite_trial(case, work, sd_folder)["faults"] == []
