"""Tests on kept pictures: each is made once, whatever the batch, and a broken off test goes on."""

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.evaluator import BaseMetric

from diffkit.engine import Runner
from diffkit.registry import METRICS
from diffkit.utils.images import read_png_metadata
from tests.engine.fakes import FakeModel, make_config

PROMPTS = [f"picture {number}" for number in range(5)]


@METRICS.register_module(force=True)
class Brightness(BaseMetric):
    """The mean level of each picture."""

    default_prefix = "fake"

    def process(self, data_batch, data_samples):
        self.results += [float(np.mean(sample["image"])) for sample in data_samples]

    def compute_metrics(self, results):
        return {"mean": float(np.mean(results)), "count": len(results)}


@pytest.fixture
def painted(monkeypatch):
    """What the model was asked to paint: a picture of one colour, which follows from prompt and seed."""
    asked = []

    def forward(self, prompt, seed, mode="loss", **_):
        asked.extend(zip(prompt, seed.tolist(), strict=True))
        return [{"image": np.full((8, 8, 3), (len(text) * 7 + number) % 256, dtype=np.uint8)}
                for text, number in zip(prompt, seed.tolist(), strict=True)]

    monkeypatch.setattr(FakeModel, "forward", forward)
    return asked


def run(work_dir, batch_size=2, prompts=PROMPTS, **test_cfg):
    loader = {"batch_size": batch_size, "num_workers": 0, "collate_fn": {"type": "diffkit.collate_samples"},
              "dataset": {"type": "PromptDataset", "prompts": prompts, "seed": 3},
              "sampler": {"type": "DefaultSampler", "shuffle": False}}
    cfg = make_config(work_dir, test_dataloader=loader, test_cfg={"type": "PictureLoop", **test_cfg},
                      test_evaluator={"type": "Brightness"})
    for key in ("train_dataloader", "train_cfg", "optim_wrapper", "param_scheduler"):
        cfg.pop(key)
    runner = Runner.from_cfg(Config(cfg))
    return runner.test(), runner


def test_pictures_are_made_once(tmp_path, painted):
    metrics, _ = run(tmp_path)
    assert len(painted) == 5 and metrics["fake/count"] == 5
    (folder,) = (tmp_path / "pictures").iterdir()
    files = sorted(folder.glob("*.png"))
    assert len(files) == 5
    again, runner = run(tmp_path, batch_size=5)  # another batch
    assert again["fake/mean"] == metrics["fake/mean"] and len(painted) == 5
    assert runner.test_loop.found == 5 and runner.test_loop.made == 0
    about = read_png_metadata(files[0])
    assert about["prompt"] in PROMPTS and about["guidance_scale"] == 4.0 and len(about["model_hash"]) == 16


def test_what_is_missing_or_damaged_is_made_again(tmp_path, painted):
    metrics, _ = run(tmp_path)
    first, second, *_ = sorted((tmp_path / "pictures").glob("*/*.png"))
    lost = [read_png_metadata(path)["prompt"] for path in (first, second)]
    first.unlink()
    second.write_bytes(second.read_bytes()[:60])
    painted.clear()
    again, _ = run(tmp_path, batch_size=3)
    assert sorted(prompt for prompt, _ in painted) == sorted(lost)
    assert again["fake/mean"] == metrics["fake/mean"]
    painted.clear()
    run(tmp_path, prompts=[*PROMPTS, "one more"])
    assert [prompt for prompt, _ in painted] == ["one more"]


def test_pictures_of_another_model_are_not_taken(tmp_path, painted, monkeypatch):
    run(tmp_path, out=str(tmp_path / "kept"))
    before = FakeModel.__init__

    def changed(self, *args, **options):
        before(self, *args, **options)
        self.net[0].weight.data.add_(1)

    monkeypatch.setattr(FakeModel, "__init__", changed)
    with pytest.raises(ValueError, match=r"not of this model and these settings .*model_hash: "):
        run(tmp_path, out=str(tmp_path / "kept"))
    run(tmp_path)
    monkeypatch.setattr(FakeModel, "__init__", before)
    run(tmp_path)
    assert len(list((tmp_path / "pictures").iterdir())) == 2  # a folder for each


@pytest.mark.parametrize("text", ["{", "[]", "[" * 100_000])
def test_a_damaged_record_is_named(text, tmp_path, painted):
    run(tmp_path, out=str(tmp_path / "kept"))
    (tmp_path / "kept" / "pictures.json").write_text(text)
    with pytest.raises(ValueError, match=r"kept/pictures\.json (cannot be read|is no record).*remove its folder"):
        run(tmp_path, out=str(tmp_path / "kept"))


def test_pictures_are_scaled(tmp_path, painted):
    run(tmp_path, resize=4, out=str(tmp_path / "kept"))
    from PIL import Image

    assert {Image.open(path).size for path in (tmp_path / "kept").glob("*.png")} == {(4, 4)}
    with pytest.raises(ValueError, match="resize must be an integer of at least 1"):
        run(tmp_path, resize=0)


def test_samples_need_prompt_and_seed(tmp_path, painted):
    cfg = {"type": "FakeData"}
    with pytest.raises(ValueError, match="each sample needs 'prompt' and 'seed'"):
        loader = {"batch_size": 2, "num_workers": 0, "dataset": cfg, "collate_fn": {"type": "default_collate"},
                  "sampler": {"type": "DefaultSampler", "shuffle": False}}
        whole = make_config(tmp_path, test_dataloader=loader, test_cfg={"type": "PictureLoop"},
                            test_evaluator={"type": "Brightness"})
        for key in ("train_dataloader", "train_cfg", "optim_wrapper", "param_scheduler"):
            whole.pop(key)
        Runner.from_cfg(Config(whole)).test()
