"""Checkpoints that somebody prepared: nothing in them is run, and what is no checkpoint is refused in words."""

import os
import pickle

import pytest
import torch
from safetensors.torch import save_file

from diffkit.engine import checkpoint as ck
from diffkit.engine.errors import ResumeError
from diffkit.engine.manifest import manifest_text, read_manifest, verify_checkpoint
from diffkit.engine.resume_checks import valid_checkpoint
from tests.faults.payloads import pickled, tar_upwards, torch_file, zip_upwards


@pytest.fixture
def marker(tmp_path):
    return tmp_path / "executed"


def prepared(tmp_path, **files):
    """A checkpoint with a manifest that fits, as a stranger would make it."""
    def state(folder):
        (folder / "state").mkdir()
        (folder / "state" / "state.json").write_text("{}")
        save_file({"a": torch.zeros(2)}, folder / "state" / "model.safetensors")
        for name, content in files.items():
            (folder / "state" / name.replace("__", ".")).write_bytes(content)

    return ck.write_checkpoint(tmp_path / "run" / "step3", [state], {"step": 3})


def test_a_sound_one_is_valid(tmp_path):
    assert valid_checkpoint(prepared(tmp_path)).name == "step3"


@pytest.mark.parametrize("name", [
    "optimizer__bin", "optimizer__pt", "random__pkl", "model__ckpt", "x__pth", "data__zip", "data__tar", "y__PICKLE"])
def test_pickles_and_archives_are_refused_by_name(tmp_path, marker, name):
    folder = prepared(tmp_path, **{name: pickled(marker)})
    with pytest.raises(ResumeError, match=r"is a pickle or an archive by its name; a checkpoint holds neither"):
        valid_checkpoint(folder)
    assert not marker.exists()


@pytest.mark.parametrize(("make", "words"), [
    (pickled, "it is a pickle"), (torch_file, "it is a zip archive"), (tar_upwards, "it is a tar archive"),
    (zip_upwards, "it is a zip archive")])
def test_they_are_refused_under_the_name_of_safetensors(tmp_path, marker, make, words):
    folder = prepared(tmp_path, optimizer__safetensors=make(marker))
    with pytest.raises(ResumeError, match=f"optimizer.safetensors is no sound safetensors file: {words}"):
        valid_checkpoint(folder)
    assert not marker.exists()


def test_they_run_where_they_are_loaded_naively(tmp_path, marker):
    pickle.loads(pickled(marker))
    assert marker.exists()
    marker.unlink()
    folder = prepared(tmp_path, optimizer__pt=torch_file(marker))
    torch.load(folder / "state" / "optimizer.pt", weights_only=False)
    assert marker.exists()


def test_auto_resume_passes_over_it(tmp_path, marker):
    sound = prepared(tmp_path).rename(tmp_path / "run" / "step2")
    (sound / "manifest.json").write_text(manifest_text(
        {key: value for key, value in read_manifest(sound).items() if key != "sha256"} | {"meta": {"step": 2}}))
    hostile = prepared(tmp_path, optimizer__pkl=pickled(marker))
    found = ck.find_latest(tmp_path / "run")
    assert found.folder == sound and [folder for folder, _ in found.skipped] == [hostile]
    assert not marker.exists()


@pytest.mark.parametrize("body", [
    {"format": 1, "meta": {}, "files": 7}, {"format": 1, "meta": {}, "files": {"a": 3}}, {"format": 1, "files": {}},
    {"format": 1, "meta": [], "files": {}}, {"format": 1, "meta": {}, "files": {"a": {"size": 3}}}, {"format": [1]}])
def test_manifests_of_another_shape_are_damaged(tmp_path, body):
    (tmp_path / "step3").mkdir()
    (tmp_path / "step3" / "manifest.json").write_text(manifest_text(body))
    (fault,) = verify_checkpoint(tmp_path / "step3")
    assert fault.startswith("manifest.json")


@pytest.mark.parametrize("text", ["[" * 100_000, "7", "null", '{"a": ' + "9" * 10_000 + "}", "\x00"])
def test_manifests_that_are_no_json_are_damaged(tmp_path, text):
    (tmp_path / "step3").mkdir()
    (tmp_path / "step3" / "manifest.json").write_text(text)
    (fault,) = verify_checkpoint(tmp_path / "step3")
    assert fault.startswith("manifest.json is damaged")


def test_links_in_a_checkpoint_are_refused(tmp_path):
    folder = prepared(tmp_path, a__json=b"", b__json=b"")
    for name, target in (("a", "/dev/zero"), ("b", "nothing")):  # endless, and dead
        (folder / "state" / f"{name}.json").unlink()
        os.symlink(target, folder / "state" / f"{name}.json")
    assert verify_checkpoint(folder) == ["state/a.json is a link", "state/b.json is a link"]
