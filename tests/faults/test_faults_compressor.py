"""LoRA is the same beside a broken neural-compressor; absent, present and other faults are in the full form."""

import pytest

from tests.faults.compressor import STEPS, compressor_trial, digest
from tests.faults.training import Job
from tests.faults.trial import complete


@pytest.mark.slow
def test_a_broken_package_changes_nothing(tmp_path, small_sd):
    trial = compressor_trial("broken: a module is missing", tmp_path, small_sd)
    assert trial["faults"] == []
    assert trial["digest"] == digest(complete(Job(tmp_path / "plain", small_sd, STEPS)).job.work_dir)
