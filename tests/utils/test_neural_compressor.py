"""PEFT without neural-compressor. What becomes of a training beside a broken one is in ``tests/faults``."""

import sys

import pytest
import torch
from peft import LoraConfig, get_peft_model
from peft.tuners.lora import inc
from peft.utils import quantization_utils

from diffkit.utils.neural_compressor import leave_neural_compressor_out

#: What PEFT asks for.
WANTED = "neural_compressor.torch.algorithms.fp8_quant._quant_common.helper_modules"


@pytest.fixture(autouse=True)
def peft_finds_a_broken_one(monkeypatch):
    for module in (inc, quantization_utils):
        monkeypatch.setattr(module, "is_inc_available", lambda: True)
    monkeypatch.setitem(sys.modules, WANTED, None)  # an import of it fails, even where it was imported before


def with_lora():
    return get_peft_model(torch.nn.Sequential(torch.nn.Linear(4, 4)), LoraConfig(r=2, target_modules=["0"]))


def test_an_adapter_is_added_beside_a_broken_one():
    with pytest.raises(ImportError):
        with_lora()
    leave_neural_compressor_out()
    assert any("lora_A" in name for name, _ in with_lora().named_parameters())


def test_a_version_of_peft_that_asks_elsewhere_is_left_alone(monkeypatch):
    monkeypatch.delattr(quantization_utils, "is_inc_available")
    leave_neural_compressor_out()
    assert not hasattr(quantization_utils, "is_inc_available") and not inc.is_inc_available()
