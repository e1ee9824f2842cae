"""Reading tensors of strangers."""

import pytest
import torch
from safetensors.torch import save_file

from diffkit.export.tensors import names_not_finite, read_tensors

FORMATS = [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2]


@pytest.mark.parametrize("dtype", FORMATS)
def test_values_that_are_not_finite_are_found(dtype):
    for value in ("nan",) if dtype == torch.float8_e4m3fn else ("nan", "inf", "-inf"):
        tensors = {"good": torch.ones(3, 4).to(dtype), "bad": torch.tensor([1.0, float(value), 2.0]).to(dtype)}
        assert names_not_finite(tensors) == ["bad"]


def test_opposite_infinities_and_large_values():
    largest = torch.full((1000,), torch.finfo(torch.float32).max)
    both = torch.tensor([float("inf"), float("-inf")])
    assert names_not_finite({"large": largest, "both": both, "empty": torch.zeros(0)}) == ["both"]
    assert names_not_finite({"half": torch.full((1000,), 60_000.0, dtype=torch.float16)}) == []


def test_whole_numbers_are_not_asked():
    assert names_not_finite({"ids": torch.arange(9), "mask": torch.ones(2, dtype=torch.bool)}) == []


def test_a_file_is_named(tmp_path):
    save_file({"a": torch.tensor([float("nan")])}, tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match=r"a\.safetensors holds values that are not finite, in 1 of 1 tensors"):
        read_tensors(tmp_path / "a.safetensors")
    (tmp_path / "a.safetensors").write_bytes(b"")
    with pytest.raises(ValueError, match=r"a\.safetensors is no sound safetensors file: its header should have"):
        read_tensors(tmp_path / "a.safetensors")
