"""PEFT without a neural-compressor that is broken. What becomes of a training is in ``tests/faults``."""

import importlib.util

import pytest
from peft.tuners.lora import inc
from peft.utils import quantization_utils

from diffkit.utils import neural_compressor


@pytest.fixture(autouse=True)
def peft_as_it_is(monkeypatch):
    for module in (inc, quantization_utils):
        monkeypatch.setattr(module, "is_inc_available", lambda: True)
    neural_compressor.hide_broken_neural_compressor.cache_clear()
    yield
    neural_compressor.hide_broken_neural_compressor.cache_clear()


def installed(monkeypatch, there):
    spec = importlib.util.find_spec("json") if there else None
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)


@pytest.mark.parametrize("wanted", [("json.no_such_part", "PatchedLinear"), ("json.decoder", "no_such_class")])
def test_a_broken_one_is_hidden_and_told_once(monkeypatch, caplog, wanted):
    installed(monkeypatch, True)
    monkeypatch.setattr(neural_compressor, "_WANTED", wanted)
    assert neural_compressor.hide_broken_neural_compressor()
    assert neural_compressor.hide_broken_neural_compressor()
    assert not inc.is_inc_available() and not quantization_utils.is_inc_available()
    assert caplog.text.count("cannot be imported") == 1 and "neural-compressor[pt]" in caplog.text


@pytest.mark.parametrize(("there", "wanted"), [(True, ("json.decoder", "JSONDecoder")), (False, ("no.such", "thing"))])
def test_a_sound_one_and_none_are_left_alone(monkeypatch, caplog, there, wanted):
    installed(monkeypatch, there)
    monkeypatch.setattr(neural_compressor, "_WANTED", wanted)
    assert not neural_compressor.hide_broken_neural_compressor()
    assert inc.is_inc_available() and caplog.text == ""
