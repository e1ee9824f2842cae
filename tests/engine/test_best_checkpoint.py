"""The best checkpoint by a metric of the validation is kept, bit for bit what was measured."""

import json

import pytest
import torch
from mmengine.config import Config
from mmengine.evaluator import BaseMetric

from diffkit.engine import Runner
from diffkit.engine.best import BestCheckpoint
from diffkit.engine.checkpoint import list_steps
from diffkit.engine.manifest import verify_checkpoint
from diffkit.engine.state_io import load_tensors
from diffkit.registry import METRICS
from tests.engine.fakes import make_config

VALUES: list[float] = []


@METRICS.register_module(force=True)
class Scripted(BaseMetric):
    """Gives the next of VALUES at each validation."""

    default_prefix = "fake"

    def process(self, data_batch, data_samples):
        torch.randn(3)  # draws from the global generator, as a careless metric would
        self.results.append(1)

    def compute_metrics(self, results):
        return {"score": VALUES.pop(0)}


def config(work_dir, max_iters, keep=1, every=2, interval=100, **checkpoint):
    loader = {"batch_size": 2, "num_workers": 0, "dataset": {"type": "FakeData"},
              "sampler": {"type": "DefaultSampler", "shuffle": False}, "collate_fn": {"type": "default_collate"}}
    cfg = make_config(work_dir, max_iters, val_dataloader=loader, val_cfg={"type": "ValLoop"},
                      val_evaluator={"type": "Scripted"})
    cfg["train_cfg"]["val_interval"] = every
    cfg["default_hooks"]["checkpoint"] = {"interval": interval, "max_keep_ckpts": keep, "save_best": "fake/score",
                                          **checkpoint}
    return Config(cfg)


def train(work_dir, max_iters, values, resume=False, hooks=(), seed=3, **options):
    VALUES[:] = values
    cfg = config(work_dir, max_iters, **options)
    cfg.resume, cfg.randomness = resume, {"seed": seed}
    cfg.custom_hooks = list(hooks)
    runner = Runner.from_cfg(cfg)
    runner.train()
    return runner


def steps(work_dir):
    return [step for step, _ in list_steps(work_dir)]


def test_the_best_stays_beside_the_newest(tmp_path):
    train(tmp_path, 8, [0.2, 0.7, 0.5, float("nan")], interval=2)
    assert steps(tmp_path) == [3, 7]  # of four; the last is the newest
    assert json.loads((tmp_path / "best.json").read_text()) == {
        "metric": "fake/score", "rule": "greater", "step": 3, "value": 0.7}
    assert verify_checkpoint(tmp_path / "step3") == []


def test_it_is_written_where_no_checkpoint_is_due(tmp_path):
    runner = train(tmp_path, 5, [3.0, 1.0, 2.0], save_best_rule="less")
    assert steps(tmp_path) == [3, 4]
    assert verify_checkpoint(tmp_path / "step3") == []
    other = train(tmp_path / "other", 5, [0.0, 0.0, 0.0])  # without the checkpoint in between
    weights = other.bare_model.trainable_state()
    for name, value in runner.bare_model.trainable_state().items():
        assert torch.equal(value, weights[name])


def test_a_training_goes_on_from_the_best_as_it_was(tmp_path):
    whole = train(tmp_path / "a", 6, [0.1, 0.9, 0.3])  # step3 is written for its metric alone
    resumed = train(tmp_path / "b", 6, [0.3], resume=str(tmp_path / "a" / "step3"))
    for name, value in whole.bare_model.trainable_state().items():
        assert torch.equal(value, resumed.bare_model.trainable_state()[name])


def test_a_validation_changes_nothing_in_the_training(tmp_path):
    validated = train(tmp_path / "a", 6, [0.1, 0.9, 0.3])
    cfg = config(tmp_path / "b", 6)
    for name in ("val_dataloader", "val_cfg", "val_evaluator"):
        cfg.pop(name)
    cfg.default_hooks.checkpoint.pop("save_best")
    cfg.train_cfg.pop("val_interval")
    cfg.randomness = {"seed": 3}
    alone = Runner.from_cfg(cfg)
    alone.train()
    for name, value in validated.bare_model.trainable_state().items():
        assert torch.equal(value, alone.bare_model.trainable_state()[name])


def test_what_is_kept_is_not_the_average(tmp_path):
    hooks = [{"type": "EMAHook", "decay": 0.9}]
    train(tmp_path / "a", 4, [0.9, 0.1], hooks=hooks)
    train(tmp_path / "b", 4, [0.1, 0.1], hooks=hooks, interval=2, keep=-1)  # written at its time
    for name in ("model", "ema"):
        kept, usual = (load_tensors(tmp_path / run / f"step1/state/{name}.safetensors") for run in "ab")
        assert kept.keys() == usual.keys() and all(torch.equal(kept[key], usual[key]) for key in kept)


def test_a_resumed_training_remembers_the_best(tmp_path):
    train(tmp_path, 4, [0.8, 0.1], interval=2)
    train(tmp_path, 8, [0.5, 0.6], interval=2, resume=True)
    assert steps(tmp_path) == [1, 7]
    train(tmp_path, 4, [0.2, 0.3], interval=2)  # anew: the best of before does not count
    assert json.loads((tmp_path / "best.json").read_text())["value"] == 0.3


def test_what_came_after_the_step_that_is_resumed_does_not_count(tmp_path):
    train(tmp_path, 6, [0.2, 0.3, 0.9], interval=2, keep=-1)
    train(tmp_path, 6, [0.4, 0.6], interval=2, keep=-1, resume=str(tmp_path / "step1"))  # step5 is another one now
    record = json.loads((tmp_path / "best.json").read_text())
    assert (record["step"], record["value"]) == (5, 0.6)


def test_a_folder_of_another_training_is_not_taken_for_the_best(tmp_path):
    train(tmp_path, 4, [0.1, 0.1], interval=2, keep=-1, seed=1)
    other = load_tensors(tmp_path / "step1/state/model.safetensors")
    train(tmp_path, 4, [0.9, 0.1], seed=2)  # writes no checkpoint of its own after two iterations
    train(tmp_path / "alone", 4, [0.9, 0.1], seed=2)
    kept, wanted = (load_tensors(folder / "step1/state/model.safetensors") for folder in (tmp_path, tmp_path / "alone"))
    assert all(torch.equal(kept[name], wanted[name]) for name in wanted)
    assert not all(torch.equal(kept[name], other[name]) for name in wanted)


def test_mistakes_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"save_best='fake/scor' is not among the metrics .*did you mean 'fake/score'"):
        train(tmp_path, 2, [0.5], save_best="fake/scor")
    with pytest.raises(ValueError, match="save_best_rule must be one of greater, less"):
        BestCheckpoint("a", "more")
    cfg = Config(make_config(tmp_path / "b", 2))
    cfg.default_hooks.checkpoint.save_best = "fake/score"
    with pytest.raises(ValueError, match="save_best needs a validation"):
        Runner.from_cfg(cfg).train()


@pytest.mark.parametrize(("metric", "rule"), [
    ("quality/fid", "less"), ("quality/kid", "less"), ("reference/lpips", "less"), ("loss", "less"),
    ("diversity/lpips", "greater"), ("prompt/sc", "greater"), ("alignment/clip_t", "greater")])
def test_the_rule_follows_from_the_name(metric, rule):
    assert BestCheckpoint(metric).rule == rule
    assert BestCheckpoint(metric, "less").rule == "less"


def test_it_is_logged(tmp_path):
    train(tmp_path, 2, [0.25])
    text = "".join(path.read_text() for path in tmp_path.glob("*/*.log"))
    assert "Best fake/score so far (greater is better): 0.25, step1." in text
