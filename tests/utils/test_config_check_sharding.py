"""What the check refuses beside sharded weights."""

import pytest

from diffkit.utils.config_check.rules import View
from diffkit.utils.config_check.sharding import sharded_weights

FULL = {"unet": {"type": "FullTuner", "component": "unet"}}
REFUSED = {
    "model.tuners.a": {"tuners": {"a": {"type": "diffkit.models.LoRATuner"}}},
    "model.tuners.words": {"tuners": FULL | {"words": {"type": "TextualInversion"}}},
    "model.tuners.a.component": {"tuners": {"a": {"type": "FullTuner", "component": "vae"}}},
    "model.quantizer": {"tuners": FULL, "quantizer": {"type": "QATQuantizer"}},
    "model.distiller.offload": {"tuners": FULL, "distiller": {"offload": "disk"}},
    "model.distiller.target_decay": {"tuners": FULL, "distiller": {"target_decay": 0.9}},
    "model.compile": {"tuners": FULL, "compile": {}},
    "model.memory_format": {"tuners": FULL, "memory_format": "channels_last"},
    "model.gradient_checkpointing": {"tuners": FULL, "gradient_checkpointing": "auto"}}


def keys(model, kind="ShardedDataParallel", **more):
    wrapper = {"type": kind, **more.pop("wrapper", {})}
    return [key for key, _ in sharded_weights(View({"model": model, "model_wrapper_cfg": wrapper, **more}))]


@pytest.mark.parametrize("key", REFUSED)
def test_what_does_not_go_with_sharded_weights(key):
    assert keys(REFUSED[key]) == [key]
    assert keys(REFUSED[key], kind="MMDistributedDataParallel") == []
    assert keys({"tuners": FULL, "distiller": {"target_decay": 0.0, "offload": None}, "compile": None}) == []


def test_precision_and_optimizer():
    half = {"optim_wrapper": {"dtype": "bfloat16"}}
    assert keys({}, **half) == keys({}, wrapper={"dtype": "bfloat16"}, **half) == []
    assert keys({}, wrapper={"dtype": "bfloat16"}) == ["model_wrapper_cfg.dtype"]
    assert keys({}, optim_wrapper={"dtype": "float16"}) == ["optim_wrapper.dtype"]
    optimizer = {"type": "diffkit.engine.AdamW8bit"}
    assert keys({}, optim_wrapper={"optimizer": optimizer}) == ["optim_wrapper.optimizer.type"]


@pytest.mark.parametrize("value", [None, 3, "text", [], [1], {"type": 3}])
def test_it_does_not_break_on_a_broken_config(value):
    cfg = {"model": value, "optim_wrapper": value, "model_wrapper_cfg": {"type": "ShardedDataParallel"}}
    assert isinstance(list(sharded_weights(View(cfg))), list)
    assert list(sharded_weights(View({"model_wrapper_cfg": value}))) == []
