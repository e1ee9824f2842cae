"""The parts of real steps: counted work, which part it is in, and what the table says of it."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import breakdown
from benchmarks.breakdown_report import breakdown_plot, breakdown_table, shares, summary
from benchmarks.floor import flop_counter
from benchmarks.parts import PARTS
from benchmarks.pictures import draw_folder
from benchmarks.pipelines import SIZES, build_pipeline, pipeline_spec, vae_encode_flops
from diffkit.evaluation import unet_macs

BATCH, IMAGES = 2, 2


def _training(method: str, folder: Path, kept: bool, **options: Any) -> dict[str, Any]:
    chosen = breakdown.METHODS[method]
    given = {**chosen.options, "model.cache_latents": kept, "model.cache_text": kept,
             "train_dataloader.batch_size": BATCH, **breakdown._random_pipeline(folder, "tiny", IMAGES, chosen.concept),
             **options}
    return breakdown.training_parts(chosen.config, given, 2, folder / "run")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("breakdown")


@pytest.fixture(scope="module")
def kd(folder: Path) -> dict[str, Any]:
    """A step of distillation without caches, which has every part but an average."""
    return _training("kd", folder, kept=False)


def _unet_flops() -> int:
    config = pipeline_spec("tiny")["unet"]
    side = SIZES["tiny"].pixels // 2
    return 2 * BATCH * unet_macs(config, (side, side)).total


def test_work_is_in_the_part_that_does_it(kd: dict[str, Any]) -> None:
    flops = kd["flops"]
    assert flops["encode"] == BATCH * vae_encode_flops("tiny")
    assert flops["teacher"] == _unet_flops()
    assert 0 < flops["student"] < flops["teacher"]  # a third of its blocks are gone
    assert flops["text"] > 0
    assert all(flops[name] == 0 for name in ("data", "loss", "optimizer", "ema", "hooks", "loop"))


def test_the_parts_are_the_step(kd: dict[str, Any]) -> None:
    found = summary(kd)
    assert 0.95 < found["explained"] <= 1.0 + 1e-9
    assert sum(shares(kd).values()) == pytest.approx(1, abs=0.05)
    assert len(kd["apart"]) == len(kd["whole"]) == len(kd["parts"]["data"]) == 1
    assert all(kd["parts"][name][0] > 0 for name in PARTS if name != "ema")
    assert kd["parts"]["ema"] == [0]


def test_caches_leave_no_work_of_encoders(folder: Path) -> None:
    found = _training("lora", folder, kept=True)
    assert found["flops"]["encode"] == found["flops"]["text"] == found["flops"]["teacher"] == 0
    assert found["flops"]["student"] > _unet_flops()  # and its adapters


def test_all_weights_and_their_average(folder: Path) -> None:
    """The backward pass is that of the UNet alone."""
    found = _training("full_ema", folder, kept=True)
    unet: Any = build_pipeline("tiny").unet
    side, width = unet.config.sample_size, unet.config.cross_attention_dim
    said = unet(torch.zeros(BATCH, 4, side, side), torch.zeros(BATCH, dtype=torch.long), torch.zeros(BATCH, 77, width))
    with flop_counter() as counter:
        said.sample.sum().backward()
    assert found["flops"]["student"] == _unet_flops()
    assert found["flops"]["backward"] == counter.get_total_flops()
    assert found["parts"]["ema"][0] > 0


def _results() -> dict[str, Any]:
    parts = {name: [0.0, 0.0] for name in PARTS} | {"student": [0.3, 0.6], "backward": [0.7, 1.4]}
    training = {"config": "c", "caches": "on", "parts": parts, "apart": [1.0, 2.0], "whole": [2.0, 1.0],
                "flops": dict.fromkeys(PARTS, 0.0) | {"student": 1e9, "backward": 2e9},
                "rates": {"matrices": 4e9, "convolution": 2e9}}
    machine = {"processor": "p", "cores": 1, "threads": 1, "python": "3", "torch": "1", "diffusers": "1",
               "transformers": "1", "peft": "1"}
    return {"setting": {"size": "tiny", "batch_size": 1, "images": 1, "steps": 4},
            "trainings": {"one, caches on": training},
            "about": {"command": "do it", "date": "today", "machine": machine}}


def test_the_floor_is_the_work_at_the_faster_rate() -> None:
    found = summary(_results()["trainings"]["one, caches on"])
    assert (found["step"], found["flops"], found["rate"], found["floor"]) == (1.5, 3e9, 4e9, 0.75)
    assert found["of_floor"] == pytest.approx(2)
    assert found["explained"] == pytest.approx(1) and found["looking"] == pytest.approx(1.25)


def test_the_table_says_whether_the_parts_explain_the_step() -> None:
    results = _results()
    text = breakdown_table(results)
    assert "| student, % | 30.0 |" in text and "| **step / floor** | **2.00** |" in text
    assert "teacher" not in text.split("*data*")[0] and "within 1 % of the step: yes" in text
    results["trainings"]["one, caches on"]["parts"]["backward"] = [0.6, 1.4]
    assert "within 1 % of the step: **no**" in breakdown_table(results)
    assert breakdown_plot(results).count("<rect") == 2 + 2  # two parts, in the legend and in the bar


def test_results_of_other_methods_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = _results()["trainings"]["one, caches on"]
    monkeypatch.setattr(breakdown, "training_parts", lambda *_, **__: {
        "batch_size": 1, "images": 2, **{name: one[name] for name in ("parts", "apart", "whole", "flops", "rates")}})
    monkeypatch.setattr(breakdown, "_random_pipeline", lambda *_: {})
    for method in ("lora", "kd"):
        breakdown.measure_breakdown(methods=[method], size="tiny", out=tmp_path / "b", plot=tmp_path / "b.svg")
    found = json.loads((tmp_path / "b.json").read_text())
    assert len(found["trainings"]) == 4
    assert (tmp_path / "b.svg").read_text().startswith("<svg")


_CONFIG = """
from torch.optim import AdamW

from diffkit.datasets import ConceptDataset, DrawSampler, collate_samples
from diffkit.engine import OptimWrapper, StepLoop
from diffkit.models import LatentDiffusion, LoRATuner, StableDiffusion

model = dict(type=LatentDiffusion, family=dict(type=StableDiffusion), pretrained={pretrained!r},
             tuners=dict(unet=dict(type=LoRATuner, component="unet", rank=2)))
train_dataloader = dict(
    batch_size=3, num_workers=2, sampler=dict(type=DrawSampler), collate_fn=dict(type=collate_samples),
    dataset=dict(type=ConceptDataset, data_root={pictures!r}, instance_prompt="a sks dog", resolution=32))
train_cfg = dict(type=StepLoop, max_iters=2)
optim_wrapper = dict(type=OptimWrapper, optimizer=dict(type=AdamW, lr=1e-3))
"""


def test_a_config_as_it_is(sd_folder: Path, tmp_path: Path) -> None:
    """With its own pipeline, batch and data."""
    pictures = draw_folder(tmp_path / "pictures", 4, 32)
    config = tmp_path / "mine.py"
    config.write_text(_CONFIG.format(pretrained=str(sd_folder), pictures=str(pictures)))
    text = breakdown.measure_breakdown(config=config, size="own", steps=2, out=tmp_path / "b", plot=tmp_path / "b.svg")
    assert "mine, caches on | mine, caches off" in text and "Size `own`, batch 3, 4 pictures" in text


@pytest.mark.parametrize(("given", "said"), [
    ({"steps": 3}, "steps must be an even number of at least 2, got 3"),
    ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
    ({"methods": ["x"]}, "methods must be among lora, full_ema, kd, qat, got x"),
    ({"size": "own"}, "--size own needs a CONFIG")])
def test_mistakes_are_named(given: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=said):
        breakdown.measure_breakdown(**given, out=tmp_path / "b")
