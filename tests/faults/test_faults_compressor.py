"""LoRA is the same whether neural-compressor is there, absent or broken. Two kinds here, all in the full form."""

import pytest

from tests.faults.compressor import compressor_trial


@pytest.mark.slow
def test_a_broken_package_changes_nothing(tmp_path, sd_folder):
    trials = [compressor_trial(kind, tmp_path, sd_folder) for kind in ("absent", "broken: a module is missing")]
    assert [trial["faults"] for trial in trials] == [[], []]
    assert len({trial["digest"] for trial in trials}) == 1
