"""A training with a compiled UNet: its checkpoints are the plain ones, it resumes bit for bit, and tells its counts."""

import re

import pytest
import torch
from safetensors.torch import load_file

from diffkit.engine import Runner
from tests.faults.training import config
from tests.faults.trial import differences
from tests.tiny import tiny_sd

ITERATIONS = 4
SHORT = {"train_cfg.max_iters": ITERATIONS, "default_hooks.checkpoint.interval": 2}
COMPILED = SHORT | {"model.compile": {"backend": "eager"}}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    level = {"block_out_channels": (8,), "down_block_types": ("CrossAttnDownBlock2D",),
             "up_block_types": ("CrossAttnUpBlock2D",), "layers_per_block": 1}
    return tiny_sd(tmp_path_factory.mktemp("small") / "sd", unet=level)


def run(work_dir, small, changes):
    torch._dynamo.reset()
    runner = Runner.from_cfg(config(work_dir, small, changes))
    runner.train()
    return runner


@pytest.mark.slow
def test_a_compiled_training_leaves_the_plain_files_and_resumes(small, tmp_path):
    last = f"step{ITERATIONS - 1}"
    run(tmp_path / "plain", small, SHORT)
    runner = run(tmp_path / "whole", small, COMPILED)
    run(tmp_path / "parts", small, COMPILED | {"default_hooks.stop": {"type": "StopAfter", "iterations": 2}})
    run(tmp_path / "parts", small, COMPILED | {"resume": True})
    assert differences(tmp_path / "whole", tmp_path / "parts", step=last) == []
    plain, compiled = (tmp_path / name / last for name in ("plain", "whole"))
    exported = [path.relative_to(plain) for path in sorted(plain.rglob("*.safetensors"))]
    assert {path.name for path in exported} >= {"adapter_model.safetensors", "pytorch_lora_weights.safetensors"}
    for path in exported:
        ours, expected = load_file(compiled / path), load_file(plain / path)
        assert ours.keys() == expected.keys()
        for name, value in expected.items():
            if not name.endswith("time"):
                assert (ours[name].double() - value.double()).norm() <= 1e-5 * value.double().norm(), (path, name)
    log = next((tmp_path / "whole").glob("*/*.log")).read_text()
    assert re.search(r"compiled +\d+ blocks of the UNet, by eager", log)
    assert re.search(r"Compiled \d+ regions of the UNet: [1-9]\d* graphs, 0 graph breaks, 0 graphs compiled after", log)
    assert runner.bare_model.compiler.compiled == 9


def test_a_plain_training_says_nothing_of_it(small, tmp_path):
    runner = run(tmp_path, small, SHORT | {"train_cfg.max_iters": 1})
    assert runner.bare_model.compiler is None
    assert "ompiled" not in next(tmp_path.glob("*/*.log")).read_text()
