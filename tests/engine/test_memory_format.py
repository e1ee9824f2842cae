"""Convolutions in channels_last: the same steps, files that others read, and a resumed training bit for bit."""

import pytest
import torch
from safetensors.torch import load_file

from diffkit.engine import Runner
from tests.faults.training import config
from tests.faults.trial import differences
from tests.models.test_latent_diffusion import batch, build
from tests.tiny import tiny_sd

WHOLE = {"model.tuners": {"unet": {"type": "FullTuner", "component": "unet"}}}
LAID_OUT = {"model.memory_format": "channels_last"}
SHORT = {"train_cfg.max_iters": 4, "default_hooks.checkpoint.interval": 2, "optim_wrapper.optimizer.eps": 1e-3}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    level = {"block_out_channels": (8,), "down_block_types": ("CrossAttnDownBlock2D",),
             "up_block_types": ("CrossAttnUpBlock2D",), "layers_per_block": 1}
    return tiny_sd(tmp_path_factory.mktemp("small") / "sd", unet=level)


def run(work_dir, small, changes):
    cfg = config(work_dir, small, {})
    cfg.model.tuners = WHOLE["model.tuners"]
    cfg.merge_from_dict(SHORT | changes)
    runner = Runner.from_cfg(cfg)
    runner.train()
    return runner


def test_the_training_is_the_plain_one_and_resumes_bit_for_bit(small, tmp_path):
    run(tmp_path / "plain", small, {})
    runner = run(tmp_path / "whole", small, LAID_OUT)
    weight = runner.bare_model.unet.conv_in.weight
    assert weight.is_contiguous(memory_format=torch.channels_last) and not weight.is_contiguous()
    run(tmp_path / "parts", small, LAID_OUT | {"default_hooks.stop": {"type": "StopAfter", "iterations": 2}})
    run(tmp_path / "parts", small, LAID_OUT | {"resume": True})
    assert differences(tmp_path / "whole", tmp_path / "parts", step="step3") == []
    plain, laid_out = (load_file(tmp_path / name / "step3/unet/diffusion_pytorch_model.safetensors")
                       for name in ("plain", "whole"))
    assert plain.keys() == laid_out.keys()
    for name, value in plain.items():
        assert (laid_out[name] - value).norm() <= 1e-5 * value.norm(), name


def test_the_first_loss_is_the_plain_one(small):
    losses = []
    for memory_format in (None, "channels_last"):
        model = build(small, memory_format=memory_format)
        torch.manual_seed(0)
        losses.append(model(**batch())["loss_denoising"].item())
    assert losses[1] == pytest.approx(losses[0], rel=1e-6)


@pytest.mark.parametrize(("options", "message"), [
    ({"memory_format": "channels_first"}, "memory_format is 'channels_first'; allowed: None, 'channels_last'"),
    ({"memory_format": "channels_last", "quantizer": {"type": "QATQuantizer"}}, "exclude each other"),
])
def test_mistakes_are_named(small, options, message):
    with pytest.raises(ValueError, match=message):
        build(small, **options)
