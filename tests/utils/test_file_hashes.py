"""Hashes of files are remembered as long as a file is the same, and never longer."""

import json
import os
import time

import pytest

from diffkit.utils import file_hashes
from diffkit.utils.hashes import file_sha256
from diffkit.utils.user_cache import cache_folder


@pytest.fixture
def hashed(monkeypatch, tmp_path):
    """The files that were read; files of any size and any age are remembered."""
    read = []
    monkeypatch.setenv("DIFFKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(file_hashes, "_SMALL", 0)
    monkeypatch.setattr(file_hashes, "_FRESH", -1.0)
    monkeypatch.setattr(file_hashes, "file_sha256", lambda path: read.append(path.name) or file_sha256(path))
    return read


def write(path, content):
    path.write_bytes(content)
    return path


def test_a_file_is_read_once(hashed, tmp_path):
    files = [write(tmp_path / "a", b"one"), write(tmp_path / "b", b"two")]
    wanted = [file_sha256(file) for file in files]
    assert file_hashes.files_sha256(files) == wanted and hashed == ["a", "b"]
    assert file_hashes.files_sha256(files[::-1]) == wanted[::-1] and hashed == ["a", "b"]


@pytest.mark.parametrize("change", ["in place", "by another file"])
def test_a_change_of_the_same_size_and_time_is_seen(hashed, tmp_path, change):
    file = write(tmp_path / "a", b"one")
    before, times = file_hashes.files_sha256([file]), (file.stat().st_atime_ns, file.stat().st_mtime_ns)
    time.sleep(0.02)  # more than a tick of the clock of files
    if change == "in place":
        file.write_bytes(b"two")
    else:
        write(tmp_path / "b", b"two").replace(file)
    os.utime(file, ns=times)
    assert file_hashes.files_sha256([file]) == [file_sha256(file)] != before and hashed == ["a", "a"]


def test_a_file_that_has_just_changed_is_not_remembered(hashed, tmp_path, monkeypatch):
    monkeypatch.setattr(file_hashes, "_FRESH", 60.0)
    file = write(tmp_path / "a", b"one")
    file_hashes.files_sha256([file])
    assert file_hashes.files_sha256([file]) and hashed == ["a", "a"]


@pytest.mark.parametrize("text", ["{", "[]", "[" * 100_000, '{"files": 3}', '{"files": {"x": 1}}'])
def test_a_cache_that_is_no_cache_counts_as_absent(hashed, tmp_path, text):
    file = write(tmp_path / "a", b"one")
    file_hashes.files_sha256([file])
    (cache,) = cache_folder().glob("*.json")
    cache.write_text(text)
    assert file_hashes.files_sha256([file]) == [file_sha256(file)] and hashed == ["a", "a"]


def test_it_works_without_a_cache(hashed, tmp_path, monkeypatch):
    monkeypatch.setenv("DIFFKIT_CACHE", str(write(tmp_path / "file", b"")))
    file = write(tmp_path / "a", b"one")
    assert file_hashes.files_sha256([file]) == file_hashes.files_sha256([file]) and hashed == ["a", "a"]


def test_the_oldest_are_forgotten(hashed, tmp_path, monkeypatch):
    monkeypatch.setattr(file_hashes, "_MOST", 2)
    files = [write(tmp_path / name, name.encode()) for name in "abc"]
    for file in files:
        file_hashes.files_sha256([file])
    (cache,) = cache_folder().glob("*.json")
    assert [path.rpartition("/")[2] for path in json.loads(cache.read_text())["files"]] == ["b", "c"]
