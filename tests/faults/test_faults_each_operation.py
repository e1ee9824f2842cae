"""Wherever a save dies, the checkpoint before it or the new one is there, and nothing half written."""

import pytest

from tests.faults.each_operation import each_operation_trial


@pytest.mark.slow
def test_a_save_may_die_at_any_operation(tmp_path):
    trial = each_operation_trial(tmp_path / "work")
    assert trial["faults"] == []
    assert trial["operations"] > 25 and 0 < trial["old"] < trial["operations"]
