"""The parts on the page about extending: trained, measured, and held against their formulas."""

import importlib
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from diffkit.apis import copy_config, train
from diffkit.apis.test import test as measure
from tests.docs.pages import ROOT, blocks

SMALL = {"train_dataloader.dataset.resolution": 32, "train_dataloader.batch_size": 2, "train_cfg.max_iters": 2,
         "custom_hooks.0.interval": 1, "default_hooks.logger.interval": 1, "test_dataloader.dataset.images_num": 2,
         "model.generation": {"num_inference_steps": 1, "height": 32, "width": 32}}


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """The module ``my_parts`` of the page, in a folder with the config of the page and the bases that it names."""
    folder = tmp_path_factory.mktemp("extending")
    page = blocks(ROOT / "docs/extending.md")
    files: dict[str, str] = {}
    for block in page:
        head = block.text.splitlines()[0]
        if block.language == "python" and head.startswith("# my_"):
            files[head[2:]] = files.get(head[2:], "") + block.text + "\n\n"
    assert set(files) == {"my_parts.py", "my_experiment.py"}
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    for name in ("stable_diffusion_v15_text_to_image_lora", "mini_sd_distill_small"):
        copy_config(name, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(str(folder))
        yield importlib.import_module("my_parts")
        sys.modules.pop("my_parts", None)


def test_the_experiment_trains_and_is_measured(parts: ModuleType, sd_folder: Path) -> None:
    options = SMALL | {"model.pretrained": str(sd_folder)}
    work_dir = train("my_experiment.py", cfg_options=options)
    assert (work_dir / "step1" / "model_index.json").is_file()
    logs = "".join(path.read_text(encoding="utf-8") for path in work_dir.glob("*/vis_data/scalars.json"))
    assert "weight_norm" in logs and "loss_coarse" in logs
    found = measure("my_experiment.py", work_dir, cfg_options=options)
    assert found["bright_side/right_n"] == 4
    assert 0 <= found["bright_side/right"] <= 1


def test_the_loss(parts: ModuleType) -> None:
    prediction, target = torch.tensor([[[[0.0, 2.0]]]]), torch.zeros(1, 1, 1, 2)
    found = parts.LogCoshLoss(scale=0.5)(prediction, target)
    assert found.tolist() == pytest.approx([math.log(math.cosh(4.0)) / 2], abs=1e-6)
    with pytest.raises(ValueError, match="scale must be above 0"):
        parts.LogCoshLoss(scale=0)


def test_the_distiller_compares_means_of_squares(parts: ModuleType) -> None:
    distiller = parts.CoarseDistiller(size=2, weight=3.0)
    distiller._teacher = SimpleNamespace(predict=lambda *inputs: torch.zeros(1, 1, 4, 4))
    fine = torch.tensor([[1.0, -1.0], [-1.0, 1.0]]).repeat(2, 2)[None, None]
    assert terms(distiller, fine) == {"loss_coarse": 0.0}, "what is finer than a square does not count"
    assert terms(distiller, torch.full((1, 1, 4, 4), 2.0)) == {"loss_coarse": 12.0}


def terms(distiller: Any, prediction: torch.Tensor) -> dict[str, float]:
    step = SimpleNamespace(prediction=prediction, noisy_latents=None, timesteps=None, conditioning=None)
    return {name: value.item() for name, value in distiller.losses(step).items()}


def test_the_metric(parts: ModuleType) -> None:
    ramp = np.tile(np.arange(64, dtype=np.uint8)[None, :, None], (64, 1, 3))
    metric = parts.BrightSide()
    metric.process(None, [{"image": ramp, "prompt": "bright on the right"}, {"image": ramp, "prompt": "on the left"},
                          {"image": ramp[:, ::-1], "prompt": "bright on the left"}])
    assert metric.compute_metrics(metric.results)["right"] == pytest.approx(2 / 3)


def test_the_tuner_trains_norms_alone(parts: ModuleType) -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(4, 4, 1), torch.nn.GroupNorm(2, 4)).requires_grad_(False)
    parts.NormTuner("unet").apply(SimpleNamespace(components={"unet": network}))
    assert {name for name, weight in network.named_parameters() if weight.requires_grad} == {"1.weight", "1.bias"}
