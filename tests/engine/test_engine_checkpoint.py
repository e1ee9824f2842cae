"""Checkpoint folders: whole or absent, and any damage shows."""

import errno
import os

import pytest

from diffkit.engine import checkpoint as ck
from diffkit.engine.errors import DiskFullError
from diffkit.engine.files import format_bytes, free_bytes, sync


def write(work_dir, step, content=b"abc"):
    def writer(folder):
        (folder / "state").mkdir()
        (folder / "state" / "model.dat").write_bytes(content)
        (folder / "export.json").write_text("{}")

    return ck.write_checkpoint(ck.step_folder(work_dir, step), [writer], {"step": step})


def test_a_written_checkpoint_is_valid_and_alone(tmp_path):
    folder = write(tmp_path, 9)
    assert ck.verify_checkpoint(folder) == []
    assert [path.name for path in tmp_path.iterdir()] == ["step9"]


def test_replacing_leaves_the_new_one_only(tmp_path):
    write(tmp_path, 9, b"old")
    folder = write(tmp_path, 9, b"new")
    assert (folder / "state" / "model.dat").read_bytes() == b"new"
    assert [path.name for path in tmp_path.iterdir()] == ["step9"]


@pytest.mark.parametrize("name", ["state/model.dat", "export.json", "manifest.json"])
@pytest.mark.parametrize("damage", ["flip", "truncate", "delete", "grow"])
def test_any_damage_is_found_and_the_previous_one_used(tmp_path, name, damage):
    previous, newest = write(tmp_path, 4), write(tmp_path, 9)
    path = newest / name
    data = bytearray(path.read_bytes())
    if damage == "flip":
        data[len(data) // 2] ^= 1
    path.write_bytes({"truncate": data[:-1], "grow": data + b" x"}.get(damage, data))
    if damage == "delete":
        path.unlink()
    found = ck.find_latest(tmp_path)
    assert found.folder == previous
    assert [folder for folder, _ in found.skipped] == [newest]
    assert found.skipped[0][1]


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        RuntimeError("I/O error: os error 28"),
        OSError(errno.EDQUOT, "q"),
    ],
)
def test_a_full_disk_leaves_the_old_one_and_says_how_much(tmp_path, error):
    old = write(tmp_path, 4)

    def writer(folder):
        (folder / "half").write_bytes(b"x" * 1500)
        raise error

    with pytest.raises(DiskFullError, match=r"step9.*1\.5 kB.*free.*make room"):
        ck.write_checkpoint(tmp_path / "step9", [writer])
    assert [path.name for path in tmp_path.iterdir()] == ["step4"]
    assert ck.find_latest(tmp_path).folder == old


@pytest.mark.parametrize("error", [ValueError("export failed"), KeyboardInterrupt()])
def test_any_other_failure_leaves_nothing(tmp_path, error):
    def writer(folder):
        (folder / "half").write_text("x")
        raise error

    with pytest.raises(type(error)):
        ck.write_checkpoint(tmp_path / "step9", [writer])
    assert list(tmp_path.iterdir()) == []


def test_a_killed_run_s_leftovers_are_cleaned_and_a_replaced_one_comes_back(tmp_path):
    good = write(tmp_path, 4)
    (tmp_path / ".writing-step9").mkdir()
    good.rename(tmp_path / ".replaced-step4")
    ck.clean_leftovers(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["step4"]
    assert ck.verify_checkpoint(tmp_path / "step4") == []


def test_rotation_keeps_the_newest_and_those_of_later_steps(tmp_path):
    for step in (1, 3, 5, 7, 99):
        write(tmp_path, step)
    removed = ck.rotate(tmp_path, 2, tmp_path / "step7")
    assert [path.name for path in removed] == ["step1", "step3"]
    assert [step for step, _ in ck.list_steps(tmp_path)] == [5, 7, 99]


def test_a_rotation_that_is_killed_leaves_no_half_removed_step(tmp_path, monkeypatch):
    for step in (1, 3):
        write(tmp_path, step)

    def killed(path):
        (path / "manifest.json").unlink(missing_ok=True)
        if path.exists():
            raise KeyboardInterrupt

    monkeypatch.setattr(ck, "remove", killed)
    with pytest.raises(KeyboardInterrupt):
        ck.rotate(tmp_path, 1, tmp_path / "step3")
    monkeypatch.undo()
    assert [step for step, _ in ck.list_steps(tmp_path)] == [3]
    ck.clean_leftovers(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["step3"]


def test_rotation_removes_nothing_if_the_newest_is_broken_or_all_are_kept(tmp_path):
    for step in (1, 3, 5):
        write(tmp_path, step)
    assert ck.rotate(tmp_path, -1, tmp_path / "step5") == []
    (tmp_path / "step5" / "state" / "model.dat").unlink()
    assert ck.rotate(tmp_path, 1, tmp_path / "step5") == []
    assert len(ck.list_steps(tmp_path)) == 3


def test_rotation_counts_whole_ones_only(tmp_path):
    for step in (1, 3, 5, 7):
        write(tmp_path, step)
    (tmp_path / "step5/state/model.dat").write_bytes(b"half")
    assert [path.name for path in ck.rotate(tmp_path, 2, tmp_path / "step7")] == ["step1"]
    (tmp_path / "step3/manifest.json").unlink()
    assert ck.rotate(tmp_path, 2, tmp_path / "step7") == []  # one whole one is left: nothing to spare


def test_a_full_disk_is_told_with_what_is_expected(tmp_path):
    def writer(folder):
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(DiskFullError, match=r"step9: it needs about 5\.0 kB \(5000 bytes\), .* are free"):
        ck.write_checkpoint(tmp_path / "step9", [writer], expected=lambda: 5000)


def test_a_folder_that_cannot_be_synced_is_no_error_and_a_file_is(tmp_path, monkeypatch):
    def fsync(handle):
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "fsync", fsync)
    (tmp_path / "file").write_text("x")
    sync(tmp_path)
    with pytest.raises(OSError, match="Invalid"):
        sync(tmp_path / "file")


def test_every_file_and_folder_is_synced_before_the_name_appears(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(os.readlink(f"/proc/self/fd/{handle}")))
    write(tmp_path, 2)
    names = [os.path.relpath(path, tmp_path) for path in synced]
    for name in ("export.json", "state/model.dat", "manifest.json", "state", "."):
        assert os.path.normpath(f".writing-step2/{name}") in names
    assert names[-2:] == [".", ".."]  # the work folder itself may be new
    assert names.index(".writing-step2/manifest.json") > names.index(".writing-step2/state/model.dat")


def test_sizes_are_readable():
    assert [format_bytes(n) for n in (12, 1500, 2.5e6, 3e9, 4e12)] == [
        "12 bytes",
        "1.5 kB",
        "2.5 MB",
        "3.0 GB",
        "4.0 TB",
    ]
    assert free_bytes("/no/such/folder") > 0
