"""The manifest of a checkpoint: any damage shows, and is told with the name of the file."""

import errno

import pytest

from diffkit.engine import manifest
from diffkit.engine.manifest import manifest_text, read_manifest, verify_checkpoint
from tests.engine.test_engine_checkpoint import write


def test_it_lists_every_file(tmp_path):
    body = read_manifest(write(tmp_path, 9, b"12345"))
    assert body["meta"] == {"step": 9}
    assert {name: entry["size"] for name, entry in body["files"].items()} == {"export.json": 2, "state/model.dat": 5}


def test_every_byte_of_a_manifest_counts(tmp_path):
    folder = write(tmp_path, 0)
    path = folder / "manifest.json"
    good = path.read_bytes()
    for place in range(len(good)):
        bad = bytearray(good)
        bad[place] ^= 4
        path.write_bytes(bad)
        assert verify_checkpoint(folder), place


def test_a_stray_file_is_a_fault(tmp_path):
    folder = write(tmp_path, 1)
    (folder / "stray").write_text("x")
    assert verify_checkpoint(folder) == ["stray is not in the manifest"]


def test_an_older_format_is_refused(tmp_path):
    folder = write(tmp_path, 1)
    (folder / "manifest.json").write_text(manifest_text({"format": 99, "meta": {}, "files": {}}))
    assert "format 99" in verify_checkpoint(folder)[0]


def test_a_checkpoint_under_the_name_of_another_step_is_refused(tmp_path):
    write(tmp_path, 4).rename(tmp_path / "step9")
    write(tmp_path, 2).rename(tmp_path / "best")
    assert verify_checkpoint(tmp_path / "step9") == ["manifest.json is that of the checkpoint of step 4"]
    assert verify_checkpoint(tmp_path / "best") == []


@pytest.mark.parametrize("name", ["file_sha256", "read_manifest"])
def test_a_file_that_cannot_be_read_is_a_fault_and_no_crash(tmp_path, monkeypatch, name):
    folder = write(tmp_path, 4)

    def broken(path):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(manifest, name, broken)
    faults = verify_checkpoint(folder)
    assert faults and all("Input/output error" in fault for fault in faults)
