"""Any damage of a checkpoint is found, the file is named, and the checkpoint before it is used."""

import shutil

import pytest

from diffkit.engine.checkpoint import find_latest, list_steps
from tests.faults.corruption import KINDS, corruption_trial, damage
from tests.faults.training import Job
from tests.faults.trial import differences, resumed, undisturbed


@pytest.fixture(scope="module")
def sound(fault_work, small_sd):
    return undisturbed(fault_work, small_sd, {})


@pytest.mark.slow
def test_damage_of_every_kind_is_found(tmp_path, sound):
    trials = [corruption_trial(number, sound, tmp_path) for number in range(3 * len(KINDS))]
    assert {trial["kind"] for trial in trials} == set(KINDS)
    assert [trial for trial in trials if trial["faults"]] == []


@pytest.mark.slow
def test_a_training_goes_on_from_the_one_before(tmp_path, small_sd, sound):
    job = Job(tmp_path / "run", small_sd)
    shutil.copytree(sound, job.work_dir)
    (_, older), (_, newest) = list_steps(job.work_dir)
    damage(newest, older, 0)
    text = resumed(job).text
    assert f"{newest.name} is not valid and is passed over" in text and f"Resumed {older}" in text
    assert differences(sound, job.work_dir) == []


@pytest.mark.slow
def test_a_checkpoint_under_another_name_is_not_taken(tmp_path, sound):
    copy = tmp_path / "copy"
    shutil.copytree(sound, copy)
    (_, older), (_, newest) = list_steps(copy)
    shutil.rmtree(newest)
    older.rename(newest)
    found = find_latest(copy)
    assert found.folder is None
    assert found.skipped[0][1] == [f"manifest.json is that of the checkpoint of step {older.name[4:]}"]
