"""What a weight file really is, and whether a safetensors file is sound."""

import gzip
import io
import json
import pickle
import struct
import tarfile
import zipfile

import pytest
import torch
from safetensors.torch import save_file

from diffkit.utils.weight_files import index_fault, pickled_files, real_kind, safetensors_fault


def tensor(start, end, shape=(2,), dtype="F32"):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}


def write(path, header, data=b"", length=None):
    header = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(header) if length is None else length) + header + data)
    return path


def test_sound_files(tmp_path):
    save_file({"a": torch.randn(3, 4), "b": torch.zeros(0)}, tmp_path / "a")
    assert safetensors_fault(tmp_path / "a") == ""
    assert safetensors_fault(write(tmp_path / "b", {"a": tensor(0, 8)}, bytes(8))) == ""
    for size in (640, 896, 1152, 1408):  # headers whose length reads like the start of a pickle
        text = json.dumps({"a": tensor(0, 8)}).encode().ljust(size)
        path = write(tmp_path / "c", text, bytes(8))
        assert path.read_bytes()[0] == 0x80 and safetensors_fault(path) == "", size


@pytest.mark.parametrize(("header", "data", "length", "words"), [
    (b"{}", b"", 1 << 62, "header should have 4611686018427387904 bytes, and the file has 10"),
    (b"{}", b"", 100, "header should have 100 bytes"),
    (b" " * 10_000_001, b"", None, "header has 10000001 bytes, allowed are 10000000"),
    ({"a": tensor(-8, 0)}, bytes(8), None, "invalid JSON in header: invalid value: integer `-8`"),
    ({"a": tensor(0, 8), "b": tensor(4, 12)}, bytes(12), None, "invalid offset for tensor `b`"),
    ({"a": tensor(0, 8), "b": tensor(16, 24)}, bytes(24), None, "invalid offset for tensor `b`"),
    ({"a": tensor(0, 8)}, bytes(4), None, "not fully covered"),
    ({"a": tensor(0, 8)}, bytes(16), None, "not fully covered"),
    ({"a": tensor(0, 8, [3])}, bytes(8), None, "invalid shape"),
    ({"a": tensor(0, 8, [-2])}, bytes(8), None, "integer `-2`"),
    ({"a": tensor(0, 8, [1 << 62, 1 << 62])}, bytes(8), None, "overflow"),
    ({"a": tensor(0, 8, dtype="X9")}, bytes(8), None, "unknown variant `X9`"),
    ([1], b"", None, "invalid JSON"),
    (b"hello", b"", None, "invalid JSON"),
    (b"\xff\xfe{}", b"", None, "invalid UTF-8"),
    (b"[" * 100_000, b"", None, "invalid JSON"),
])
def test_absurd_headers(tmp_path, header, data, length, words):
    fault = safetensors_fault(write(tmp_path / "a", header, data, length))
    assert words in fault and fault.startswith("its header") and len(fault) < 300


def test_files_too_short_and_missing(tmp_path):
    for content in (b"", b"12345"):
        (tmp_path / "a").write_bytes(content)
        assert f"the file has {len(content)}" in safetensors_fault(tmp_path / "a")
    assert "cannot be read (No such file" in safetensors_fault(tmp_path / "none")
    assert "cannot be read (Is a directory" in safetensors_fault(tmp_path)


def test_what_is_something_else_is_named(tmp_path):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a", "b" * 100)
    tarred = io.BytesIO()
    with tarfile.open(fileobj=tarred, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a"))
    torched = io.BytesIO()
    torch.save({"a": torch.zeros(2)}, torched)
    legacy = io.BytesIO()
    torch.save({"a": torch.zeros(2)}, legacy, _use_new_zipfile_serialization=False)
    contents = {
        "zip archive": [packed.getvalue(), torched.getvalue()], "tar archive": [tarred.getvalue()],
        "gzip archive": [gzip.compress(b"a" * 100)], "web page": [b"<!DOCTYPE html>\n<p>" * 9],
        "Git LFS": [b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"],
        "a pickle": [legacy.getvalue(), *(pickle.dumps({"a": [Exception]}, number) for number in (0, 2, 3, 4, 5))]}
    for word, files in contents.items():
        for content in files:
            (tmp_path / "a").write_bytes(content)
            assert word in real_kind(tmp_path / "a"), word
            assert safetensors_fault(tmp_path / "a").startswith("it is ") and word in safetensors_fault(tmp_path / "a")


@pytest.mark.parametrize(("index", "words"), [
    (b"{", "no index of weights"), (b"[]", "no index of weights"), ({"weight_map": []}, "no index"),
    ({"weight_map": {"a": "../../secret.safetensors"}}, "'../../secret.safetensors', which is no safetensors file"),
    ({"weight_map": {"a": "/etc/passwd"}}, "'/etc/passwd'"), ({"weight_map": {"a": "model.bin"}}, "'model.bin'"),
    ({"weight_map": {"a": 7}}, "'7'"),
    ({"weight_map": {"a": "gone.safetensors"}}, "'gone.safetensors', which is missing"),
    ({"weight_map": {"a": "here.safetensors"}}, ""),
])
def test_an_index_names_safetensors_files_beside_it(tmp_path, index, words):
    (tmp_path / "here.safetensors").touch()
    path = tmp_path / "model.safetensors.index.json"
    path.write_bytes(index if isinstance(index, bytes) else json.dumps(index).encode())
    fault = index_fault(path)
    assert words in fault and bool(fault) == bool(words)


def test_names_of_pickles_and_archives():
    names = ["a.safetensors", "unet/adapter_model.bin", "state/x.PKL", "b.tar.gz", "c.pt.json", "config.json", "d.pth"]
    assert pickled_files(names) == ["b.tar.gz", "d.pth", "state/x.PKL", "unet/adapter_model.bin"]
