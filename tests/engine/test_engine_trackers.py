"""What trackers are given: never a secret, and they never end a training."""

import json
import logging
import sys
from types import ModuleType, SimpleNamespace

import pytest
from mmengine.config import Config
from mmengine.evaluator import BaseMetric

from diffkit.engine import Runner
from diffkit.engine.trackers import guard_trackers
from diffkit.registry import METRICS
from diffkit.utils.secrets import without_secrets
from tests.engine.fakes import make_config

TOKEN = "hf_" + "aBcD" * 8


class Tracker:
    def __init__(self):
        self.configs = []

    def add_config(self, config, **kwargs):
        self.configs.append(config)

    def add_scalar(self, name, value):
        raise RuntimeError("the server is gone")


def guarded():
    tracker = Tracker()
    guard_trackers(SimpleNamespace(_vis_backends={"mine": tracker}), logging.getLogger("test"))
    return tracker


def test_a_config_goes_to_trackers_without_its_secrets():
    tracker = guarded()
    secret = {"api_key": "very", "path": f"https://user:{TOKEN}@hub"}
    tracker.add_config(Config({"a": [1, secret], "placeholder": "<t>"}))
    (seen,) = tracker.configs
    assert seen.to_dict() == {"a": [1, {"api_key": "***", "path": "https://user:***@hub"}], "placeholder": "<t>"}
    assert TOKEN not in seen.pretty_text


def test_a_config_without_secrets_is_the_same_object():
    tracker, config = guarded(), Config({"model": {"tokens": ["<t>"], "token": "sks", "hf_like": "hf_short"}})
    tracker.add_config(config)
    assert tracker.configs == [config] and tracker.configs[0] is config
    values = {"a": (1, 2.5, None)}
    assert without_secrets(values) is values


def test_failures_are_told_once(caplog):
    tracker = guarded()
    for _ in range(3):
        tracker.add_scalar("loss", 1)
    assert caplog.text.count("the server is gone") == 1


@pytest.fixture
def wandb(monkeypatch):
    """A stand-in for the package: what it was given, and nothing leaves this process."""
    given = ModuleType("wandb")
    given.logged, given.configs, given.started, given.code = [], [], [], []
    given.init = lambda **options: given.started.append(options)
    given.log = lambda values, commit: given.logged.append(values)
    given.config = SimpleNamespace(update=lambda values, allow_val_change: given.configs.append(values))
    given.run = SimpleNamespace(log_code=lambda name: given.code.append(name))
    given.Image = lambda image: image
    given.join = lambda: None
    monkeypatch.setitem(sys.modules, "wandb", given)
    return given


def train(folder, **changes):
    loader = {"batch_size": 2, "num_workers": 0, "dataset": {"type": "FakeData"},
              "sampler": {"type": "DefaultSampler", "shuffle": False}, "collate_fn": {"type": "default_collate"}}
    backends = [{"type": "LocalVisBackend"}, {"type": "TensorboardVisBackend"}, {"type": "WandbVisBackend"}]
    cfg = make_config(
        folder, 4, visualizer={"type": "Visualizer", "vis_backends": backends}, val_dataloader=loader,
        val_cfg={"type": "ValLoop"}, val_evaluator={"type": "Counted"},
        custom_hooks=[{"type": "SampleHook", "prompts": ["a dog"], "interval": 2}], **changes)
    cfg["train_cfg"]["val_interval"] = 2
    Runner.from_cfg(Config(cfg)).train()


@METRICS.register_module(force=True)
class Counted(BaseMetric):
    """How many samples there were."""

    default_prefix = "fake"

    def process(self, data_batch, data_samples):
        self.results += list(data_samples)

    def compute_metrics(self, results):
        return {"count": len(results)}


def of_tensorboard(folder):
    """Scalars and pictures by name: the steps at which there are values."""
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator",
                                 reason="tensorboard is not installed")
    (file,) = folder.glob("*/vis_data/events*")
    found = events.EventAccumulator(str(file))
    found.Reload()
    return ({name: [event.step for event in found.Scalars(name)] for name in found.Tags()["scalars"]},
            {name: [event.step for event in found.Images(name)] for name in found.Tags()["images"]})


def by_name(rows, step):
    found = {}
    for row in rows:
        for name in row:
            found.setdefault(name, []).append(row[step])
    return found


def test_all_trackers_have_the_same_names_at_the_same_steps(tmp_path, wandb):
    train(tmp_path)
    (file,) = tmp_path.glob("*/vis_data/scalars.json")
    local = by_name(map(json.loads, file.read_text().splitlines()), "step")
    del local["step"], local["iter"]
    assert local["loss"] == [1, 2, 3, 4] and local["fake/count"] == [2, 4] and "lr" in local
    scalars, pictures = of_tensorboard(tmp_path)
    del scalars["iter"]
    assert scalars == local and pictures == {"samples": [0, 2, 4]}
    sent = by_name(wandb.logged, "iter")
    del sent["iter"]
    assert sent == {**local, **pictures}
    kept = tmp_path.glob("*/vis_data/vis_image/*.png")
    assert sorted(int(path.stem.rpartition("_")[2]) for path in kept) == [0, 2, 4]


def test_weights_and_biases_gets_no_secret_and_no_file(tmp_path, wandb, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    (tmp_path / "my_config.py").write_text(f"token = '{TOKEN}'")
    monkeypatch.chdir(tmp_path)
    train(tmp_path / "run", hub_api_key=TOKEN, note=f"https://user:{TOKEN}@hub")
    assert wandb.configs and wandb.logged and not wandb.code, "the code of the folder would go along with the config"
    assert TOKEN not in repr((wandb.configs, wandb.logged, wandb.started))
