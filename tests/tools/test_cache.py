"""The command that looks after caches on disk."""

import os
import time

import pytest
import torch

from diffkit.cli import main
from diffkit.models.disk_rows import DiskRows
from diffkit.utils.encoded_stores import find_stores


@pytest.fixture
def folder(tmp_path):
    """Latents of two models, three each, and a text of one of them."""
    for kind, model, count in (("latents", "mini-sd", 3), ("latents", "owner/other", 3), ("text", "mini-sd", 1)):
        rows = DiskRows(tmp_path, kind, lambda model=model: {"weights": model}, model)
        for key in range(count):
            rows.row(f"{key:02d}", "cpu", lambda key=key: {"moments": torch.full((8,), float(key))})
    return tmp_path


def call(capsys, *words):
    status = main(["cache", *map(str, words)])
    return status, capsys.readouterr().out.splitlines()


def test_show_lists_what_lies_there(folder, capsys):
    status, lines = call(capsys, "show", "--folder", folder)
    size = {path.stat().st_size for path in folder.rglob("*.safetensors")}.pop()
    assert status == 0 and len(lines) == 4
    assert sum(line.endswith("mini-sd, cpu") for line in lines) == 2
    assert sum(line.startswith(f"latents        3 entries {f'{3 * size} bytes':>9}  used 2") for line in lines) == 2
    assert lines[-1].startswith("3 cache(s), ") and lines[-1].endswith(f"in {folder}")
    assert len(call(capsys, "show", "--folder", folder, "--kind", "text")[1]) == 2
    assert len(call(capsys, "show", "--folder", folder, "--model", "owner")[1]) == 2
    assert call(capsys, "show", "--folder", folder / "nothing")[1] == [f"0 cache(s), 0 bytes, in {folder / 'nothing'}"]


def test_verify_names_damaged_entries_and_repair_removes_them(folder, capsys):
    assert call(capsys, "verify", "--folder", folder) == (0, [f"7 entries in {folder}, 0 of them damaged"])
    first, second = sorted((folder / "latents").rglob("*.safetensors"))[:2]
    first.write_bytes(first.read_bytes()[:-1])
    second.write_bytes(b"")
    left = first.with_name(".half.safetensors.1")
    left.write_bytes(b"x")
    os.utime(left, (0, 0))
    new = first.with_name(".being-written.2")
    new.write_bytes(b"x")
    status, lines = call(capsys, "verify", "--folder", folder)
    assert status == 1 and lines[-1] == f"7 entries in {folder}, 2 of them damaged" and len(lines) == 4
    assert f"{first}: its content is not what was written under this name" in lines
    assert f"{second}: it is truncated, or no file of this cache" in lines and first.is_file()
    status, lines = call(capsys, "verify", "--folder", folder, "--repair")
    assert status == 0 and sum(line.endswith("; removed") for line in lines) == 3
    assert not first.exists() and not second.exists() and not left.exists() and new.exists()
    assert call(capsys, "verify", "--folder", folder) == (0, [f"5 entries in {folder}, 0 of them damaged"])


def test_clear_removes_what_is_chosen(folder, capsys):
    old = next(store for store in find_stores(folder) if store.kind == "text")
    os.utime(old.folder / "about.json", (time.time() - 10 * 86400,) * 2)
    status, lines = call(capsys, "clear", "--folder", folder, "--unused-for", 9)
    assert status == 0 and len(lines) == 2 and lines[0].startswith("removed text of mini-sd, cpu: 1 entries, ")
    call(capsys, "clear", "--folder", folder, "--model", "owner")
    (store,) = find_stores(folder)
    assert store.kind == "latents" and store.about["model"] == "mini-sd"
    call(capsys, "clear", "--folder", folder)
    assert find_stores(folder) == []


def test_the_users_own_folder_is_the_default(folder, capsys, monkeypatch):
    monkeypatch.setenv("DIFFKIT_CACHE", str(folder))
    assert call(capsys, "verify") == (0, [f"7 entries in {folder}, 0 of them damaged"])


def test_what_was_damaged_about_a_cache_is_said(folder, capsys):
    next((folder / "text").glob("*/about.json")).unlink()
    _, lines = call(capsys, "show", "--folder", folder, "--kind", "text")
    assert lines[0].endswith("unknown (about.json is missing or damaged)")


def test_mistakes_are_told(folder, capsys):
    assert main(["cache", "clear", "--folder", str(folder), "--unused-for", "-1"]) == 1
    assert "--unused-for must be 0 days or more, got -1" in capsys.readouterr().err and len(find_stores(folder)) == 3
    with pytest.raises(SystemExit):
        main(["cache"])
