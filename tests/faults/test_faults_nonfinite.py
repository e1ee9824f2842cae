"""What is not finite is named and skipped, at most so often; no checkpoint holds any of it.

Some of the cases; all of them are in the full form.
"""

import pytest

from tests.faults.nonfinite import nonfinite_trial


@pytest.mark.slow
@pytest.mark.parametrize("case", ["a picture", "its latents", "the loss, twice", "a gradient, for ever", "a weight"])
def test_a_value_that_is_not_finite(fault_work, small_sd, case):
    assert nonfinite_trial(case, fault_work, small_sd)["faults"] == []
