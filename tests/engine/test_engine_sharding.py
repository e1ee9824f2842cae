"""Sharded trainings of two processes are those with whole weights: losses, weights, checkpoints, pictures."""

import json
import os
import re

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from PIL import Image

from diffkit.engine import Runner
from diffkit.engine.sharding import check_shardable, check_steps
from diffkit.engine.state_io import load_tensors
from diffkit.registry import MODELS
from tests.engine.sharded import PROMPTS, SHARDED, config, in_two_processes, make_models
from tests.engine.test_engine_resume import assert_same_checkpoint, logged


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A distillation with whole and with sharded weights; and its second half with the other kind, and anew."""
    return in_two_processes(tmp_path_factory.mktemp("sharded"), {
        "whole": {},
        "sharded": SHARDED,
        "again": SHARDED | {"copy": "sharded"},
        "whole after sharded": {"copy": "sharded"},
        "sharded after whole": SHARDED | {"copy": "whole"}})


def facts(folder, rank):
    return json.loads((folder / f"facts{rank}.json").read_text())


def assert_close_state(left, right, tolerance=1e-5):
    """Weights, averages and the optimizer's state of two steps are the same but for rounding."""
    for name in ("model", "ema", "optimizer"):
        first, second = (load_tensors(folder / "state" / f"{name}.safetensors") for folder in (left, right))
        assert first.keys() == second.keys()
        scale = max(float(value.abs().max()) for value in first.values())
        for key, value in first.items():
            assert value.shape == second[key].shape
            assert (value - second[key]).abs().max() <= tolerance * max(float(value.abs().max()), 0.01 * scale), key


def test_losses_and_norms_are_those_of_whole_weights(done):
    whole, sharded = logged(done / "whole"), logged(done / "sharded")
    assert whole.keys() == sharded.keys() == set(range(1, 6))
    for step, row in whole.items():
        for key in ("loss", "loss_denoising", "loss_output", "loss_feature", "grad_norm"):
            if key in row:
                assert sharded[step][key] == pytest.approx(row[key], rel=1e-6 if step == 1 else 1e-5), (step, key)
    assert all("grad_norm" in whole[step] for step in (2, 4, 5))


@pytest.mark.parametrize("step", ["step2", "step4"])
def test_weights_averages_and_the_optimizer_are_those_of_whole_weights(done, step):
    assert_close_state(done / "whole" / step, done / "sharded" / step)


def test_a_step_folder_has_the_same_files_and_is_a_pipeline(done):
    """The gradients of the incomplete accumulation are shared: the first process has all."""
    def files(name, step):
        folder = done / name / step
        return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}

    assert files("whole", "step4") == files("sharded", "step4")
    assert files("whole", "step2") - files("sharded", "step2") == {
        "state/gradients_rank1.json", "state/gradients_rank1.safetensors"}
    pipe = StableDiffusionPipeline.from_pretrained(done / "sharded/step4", safety_checker=None)
    averaged = load_tensors(done / "sharded/step4/state/ema.safetensors")
    for name, value in pipe.unet.state_dict().items():
        assert torch.equal(value, averaged[f"shadow/unet.{name}"]), name


def test_a_sharded_training_goes_on_bit_for_bit(done):
    assert_same_checkpoint(done / "sharded/step4", done / "again/step4")
    assert logged(done / "sharded") == logged(done / "again")


@pytest.mark.parametrize("name", ["whole after sharded", "sharded after whole"])
def test_a_training_goes_on_with_the_other_kind_of_weights(done, name):
    assert_close_state(done / "whole/step4", done / name / "step4")


def test_each_process_keeps_half(done):
    whole = facts(done / "whole", 0)
    halves = [facts(done / "sharded", rank) for rank in (0, 1)]
    for what in ("weights", "state", "teacher"):
        assert sum(half[what] for half in halves) == whole[what]
        assert all(half[what] <= 0.6 * whole[what] for half in halves), what


def test_pictures_are_those_of_whole_weights_and_shared_out(done):
    """Samples of the untrained model and prior pictures, which the teacher paints, are equal bit for bit."""
    for name in ("samples/step000000.png", *(f"class_images/{path.name}"
                                             for path in (done / "whole/class_images").glob("*.png"))):
        first, second = (np.asarray(Image.open(done / kind / name)) for kind in ("whole", "sharded"))
        assert np.array_equal(first, second), name
    assert len(list((done / "sharded/class_images").glob("*.png"))) == 3
    for kind in ("whole", "sharded"):
        for rank in (0, 1):
            painted = facts(done / kind, rank)["painted"]
            assert [text for text in painted if text in PROMPTS] == PROMPTS[rank::2] * 2  # before and after
            assert painted.count("a photo of a dog") == (2, 1)[rank]


def test_latents_on_disk_are_shared(done):
    """No process encodes all pictures, and nobody encodes one that the training before has."""
    entries = list((done / "cache/latents").rglob("*.safetensors"))
    encoded = [facts(done / "whole", rank)["encoded"] for rank in (0, 1)]
    assert 0 < max(encoded) < len(entries) <= sum(encoded)
    assert [facts(done / "sharded", rank)["encoded"] for rank in (0, 1)] == [0, 0]


_SHORT = {"train_cfg.max_iters": 2, "optim_wrapper.accumulative_counts": 1, "custom_hooks": [],
          "train_dataloader.dataset.num_class_images": 0, "train_dataloader.dataset.class_prompt": None}
_BF16 = _SHORT | {"optim_wrapper.dtype": "bfloat16"}
_TEXT = _BF16 | {  # of the UNet a part is trained, and what is not has fewer bits
    "model.tuners": {"_delete_": True, "text": {"type": "FullTuner", "component": "text_encoder"},
                     "unet": {"type": "FullTuner", "pattern": "attn"}},
    "model.gradient_checkpointing": True, "model.frozen_dtype": "bfloat16", "model.distiller": None}
_JUMPS = _SHORT | {
    "model.distiller": {"_delete_": True, "type": "ConsistencyDistiller"},
    "model.objective": {"type": "Denoising", "loss_weight": 0.0, "timesteps": {"type": "GridTimesteps"}}}
PAIRS = {"bfloat16": (_BF16, _BF16), "a text encoder, checkpointing": (_TEXT, _TEXT), "two passes": (_JUMPS, _JUMPS),
         "gathered in bfloat16": (_BF16, _BF16 | {"model.gradient_checkpointing": True,
                                                  "model_wrapper_cfg.dtype": "bfloat16"})}


@pytest.fixture(scope="module")
def others(tmp_path_factory):
    """Other kinds of trainings, each with whole and with sharded weights."""
    trainings = {}
    for name, (whole, sharded) in PAIRS.items():
        trainings |= {f"{name}, whole": whole, f"{name}, sharded": SHARDED | sharded}
    return in_two_processes(tmp_path_factory.mktemp("others"), trainings)


@pytest.mark.skipif("DIFFKIT_LONG_TESTS" not in os.environ, reason="a minute of CPU; set DIFFKIT_LONG_TESTS=1")
@pytest.mark.parametrize("name", PAIRS)
def test_other_trainings_are_those_of_whole_weights(others, name):
    whole, sharded = (logged(others / f"{name}, {kind}") for kind in ("whole", "sharded"))
    rounding = 1e-5 if name == "two passes" else 2**-8  # of bfloat16; kernels sum up in their own order
    assert whole.keys() == sharded.keys() == {1, 2}
    for step, row in whole.items():
        for key in ("loss", "grad_norm"):
            assert sharded[step][key] == pytest.approx(row[key], rel=rounding), (step, key)


REFUSED = {
    "model.tuners.unet: LoRATuner": {"model.tuners.unet": {"_delete_": True, "type": "LoRATuner"}},
    "the VAE is trained": {"model.tuners.vae": {"type": "FullTuner", "component": "vae"},
                             "model.cache_latents": False, "model.cache_folder": None},
    "model.quantizer": {"model.quantizer": {"type": "QATQuantizer"}},
    "model.distiller.offload": {"model.distiller.offload": "cpu"},
    "optim_wrapper.dtype 'float16'": {"optim_wrapper.dtype": "float16"},
    "model_wrapper_cfg.dtype": {"model_wrapper_cfg.dtype": "bfloat16"},
    "8-bit": {"optim_wrapper.optimizer": {"_delete_": True, "type": "AdamW8bit", "lr": 1e-3}}}


@pytest.mark.parametrize("message", REFUSED)
def test_what_cannot_be_sharded_is_refused(models, message):
    """Before anything is sharded: one process is enough to see it."""
    cfg = config(models, "refused", SHARDED | REFUSED[message])
    with pytest.raises(ValueError, match=re.escape(message)):
        check_steps(cfg.model_wrapper_cfg, cfg.optim_wrapper)
        check_shardable(MODELS.build(cfg.model))


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    make_models(folder)
    return folder


def test_one_process_trains_as_if_nothing_were_sharded(models):
    cfg = config(models, "alone", _SHORT | SHARDED | {"launcher": "none"})
    runner = Runner.from_cfg(cfg)
    assert runner.model is runner.bare_model
