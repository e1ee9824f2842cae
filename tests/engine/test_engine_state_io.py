"""Nested state to files and back."""

import math

import pytest
import torch

from diffkit.engine.state_io import load_nest, pack, save_nest


def test_a_nest_comes_back_bit_for_bit(tmp_path):
    base = torch.arange(6.0)
    nest = {
        "a": torch.randn(2, 3, dtype=torch.float64),
        "step": torch.tensor(3.0),
        "half": torch.randn(4).bfloat16(),
        "view": base[2:4],
        "whole": base,
        "turned": torch.randn(3, 4).T,
        "last": torch.randn(1, 2, 3, 3).to(memory_format=torch.channels_last),
        "bytes": torch.arange(5, dtype=torch.uint8),
        "betas": (0.9, 0.999),
        "groups": [{"lr": 0.1 + 0.2, "foreach": None, "on": True}, ()],
        "by number": {1: torch.ones(1), 2: "x"},
        "odd": {"__tensor__": "not one"},
        "inf": -math.inf,
    }
    save_nest(nest, tmp_path / "state")
    back = load_nest(tmp_path / "state")
    assert list(back) == list(nest)
    for name, value in nest.items():
        if isinstance(value, torch.Tensor):
            assert back[name].dtype == value.dtype and torch.equal(back[name], value)
    assert back["betas"] == (0.9, 0.999) and back["groups"] == nest["groups"]
    assert back["by number"][1] == 1 and back["by number"][2] == "x"
    assert back["odd"] == nest["odd"] and back["inf"] == -math.inf


def test_without_tensors_there_is_no_tensor_file(tmp_path):
    save_nest({"a": 1}, tmp_path / "state")
    assert [path.name for path in tmp_path.iterdir()] == ["state.json"]
    assert load_nest(tmp_path / "state") == {"a": 1}


def test_a_foreign_object_is_refused_by_path():
    with pytest.raises(TypeError, match="a/0 has type object"):
        pack({"a": [object()]}, {})
