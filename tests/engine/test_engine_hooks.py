"""Averages, samples, the table before training, the progress lines."""

import copy
import errno
import logging
from pathlib import Path

import pytest
import torch
from diffusers.training_utils import EMAModel
from mmengine.config import Config

from diffkit.engine import Runner
from diffkit.engine.errors import DiskFullError
from diffkit.engine.hooks import CheckpointHook, EMAHook, ProgressHook, SampleHook
from diffkit.engine.state_io import load_nest
from diffkit.utils.images import read_png_metadata
from tests.engine.fakes import FakeModel, make_config

SAMPLE = {"type": "SampleHook", "prompts": ["a red circle", "a <new1> dog, é!"], "interval": 2, "seed": 5}


def config(work_dir, max_iters=4, **changes):
    return Config(make_config(work_dir, max_iters, **changes))


def train(*args, **kwargs):
    runner = Runner.from_cfg(config(*args, **kwargs))
    runner.train()
    return runner


def weights(runner):
    return {name: value.clone() for name, value in runner.bare_model.trainable_state().items()}


def hook_of(runner, kind):
    return next(hook for hook in runner.hooks if isinstance(hook, kind))


class FakeRunner:
    def __init__(self, model):
        self.bare_model = model


def hook_on(model, **options):
    hook = EMAHook(**options)
    hook.before_run(FakeRunner(model))
    hook.before_train(FakeRunner(model))
    return hook


def test_average_has_its_closed_form():
    model = FakeModel()
    hook = hook_on(model, decay=0.5)
    weight = model.net[0].weight
    expected = weight.detach().clone()
    for n in range(1, 8):
        torch.nn.init.normal_(weight)
        hook.update()
        decay = 0.0 if n == 1 else min(0.5, n / (9 + n))
        expected = decay * expected + (1 - decay) * weight.detach()
    torch.testing.assert_close(hook.shadow["net.0.weight"], expected)


def test_average_equals_diffusers():
    model = FakeModel()
    hook = hook_on(model, decay=0.3)
    theirs = EMAModel(model.trainable_parameters().values(), decay=0.3)
    for _ in range(6):
        for value in model.trainable_parameters().values():
            torch.nn.init.normal_(value)
        hook.update()
        theirs.step(model.trainable_parameters().values())
    for ours, other in zip(hook.shadow.values(), theirs.shadow_params, strict=True):
        torch.testing.assert_close(ours, other)


def test_swapping_shows_the_average_and_gives_the_weights_back_even_after_an_error():
    model = FakeModel()
    hook = hook_on(model)
    torch.nn.init.normal_(model.net[0].weight)
    own, average = copy.deepcopy(model.trainable_state()), copy.deepcopy(hook.shadow)
    assert not torch.equal(own["net.0.weight"], average["net.0.weight"])
    places = [value.data_ptr() for value in (*model.trainable_state().values(), *hook.shadow.values())]
    with pytest.raises(RuntimeError), hook.swapped():
        with hook.swapped():  # what shows the average calls what shows it too
            pass
        for name, value in model.trainable_state().items():
            assert torch.equal(value, average[name]) and torch.equal(hook.shadow[name], own[name])
        raise RuntimeError
    for name, value in model.trainable_state().items():
        assert torch.equal(value, own[name]) and torch.equal(hook.shadow[name], average[name])
    assert places == [value.data_ptr() for value in (*model.trainable_state().values(), *hook.shadow.values())]


def test_average_counts_optimizer_steps(tmp_path):
    wrapper = {"optimizer": {"type": "AdamW", "lr": 1e-2}, "accumulative_counts": 2}
    hooks = [{"type": "EMAHook", "update_every": 2}]
    runner = train(tmp_path, 9, optim_wrapper=wrapper, custom_hooks=hooks)
    assert runner.optim_wrapper.optimizer_steps == 5
    assert hook_of(runner, EMAHook).updates == 2


def test_exports_hold_the_average_and_the_state_both(tmp_path, monkeypatch):
    seen = {}

    def write(artifacts, folder, pipeline, **_):
        seen.update(weights(current[0]))

    current = []
    monkeypatch.setattr("diffkit.export.write_artifacts", write)
    runner = Runner.from_cfg(config(tmp_path, custom_hooks=[{"type": "EMAHook", "decay": 0.9}]))
    current.append(runner)
    runner.train()
    shadow = hook_of(runner, EMAHook).shadow
    saved = load_nest(tmp_path / "step3/state/ema")["shadow"]
    for name, value in shadow.items():
        assert torch.equal(seen[name], value) and torch.equal(saved[name], value)
        assert not torch.equal(weights(runner)[name], value)


def test_samples_are_written_with_their_settings(tmp_path):
    runner = train(tmp_path, custom_hooks=[SAMPLE | {"num_inference_steps": 9, "height": 8}])
    names = sorted(path.name for path in (tmp_path / "samples").iterdir())
    steps = ("000000", "000002", "000004")
    expected = [f"step{n}{end}" for n in steps for end in (".png", "_0_a-red-circle.png", "_1_a-new1-dog.png")]
    assert names == sorted(expected)
    settings = read_png_metadata(tmp_path / "samples/step000002_1_a-new1-dog.png")
    painter = settings.pop("model_hash")
    assert settings == {
        "prompt": "a <new1> dog, é!",
        "seed": 6,
        "iterations": 2,
        "num_inference_steps": 9,
        "guidance_scale": 4.0,
        "height": 8,
    }
    assert list((tmp_path / runner.timestamp / "vis_data/vis_image").glob("*.png"))
    grid = read_png_metadata(tmp_path / "samples/step000002.png")
    assert grid["prompts"] == SAMPLE["prompts"] and grid["seeds"] == [5, 6] and grid["model_hash"] == painter
    painters = [read_png_metadata(tmp_path / f"samples/step{n}.png")["model_hash"] for n in steps]
    assert len(set(painters)) == 3 and painters[1] == painter  # a model for each moment
    again = train(tmp_path / "again", custom_hooks=[SAMPLE | {"num_inference_steps": 9, "height": 8}])
    assert read_png_metadata(again.work_dir + "/samples/step000002.png")["model_hash"] == painter


def test_sampling_does_not_touch_the_training(tmp_path):
    with_samples = train(tmp_path / "a", custom_hooks=[SAMPLE | {"interval": 1}])
    without = train(tmp_path / "b")
    assert with_samples.bare_model.training
    for name, value in weights(with_samples).items():
        assert torch.equal(value, weights(without)[name])


def test_sampling_gives_the_generators_back(tmp_path):
    runner = Runner.from_cfg(config(tmp_path, custom_hooks=[SAMPLE]))
    torch.manual_seed(0)
    before = torch.get_rng_state()
    hook_of(runner, SampleHook).generate(runner)
    assert torch.equal(before, torch.get_rng_state())


def test_samples_show_the_average(tmp_path, monkeypatch):
    levels = []
    original = FakeModel.generate

    def generate(self, prompts, **options):
        levels.append(self.net[0].weight.detach().clone())
        return original(self, prompts, **options)

    monkeypatch.setattr(FakeModel, "generate", generate)
    runner = train(tmp_path, custom_hooks=[{"type": "EMAHook", "decay": 0.9}, SAMPLE])
    assert torch.equal(levels[-1], hook_of(runner, EMAHook).shadow["net.0.weight"])


def test_prompts_go_in_batches(tmp_path, monkeypatch):
    sizes = []
    original = FakeModel.generate
    monkeypatch.setattr(FakeModel, "generate", lambda self, p, **o: (sizes.append(len(p)), original(self, p, **o))[1])
    train(tmp_path, 1, custom_hooks=[SAMPLE | {"prompts": list("abc"), "batch_size": 2}])
    assert sizes == [2, 1, 2, 1]


def test_a_resumed_run_shows_the_untrained_model_too(tmp_path):
    train(tmp_path, 2, custom_hooks=[SAMPLE])
    runner = train(tmp_path, 4, custom_hooks=[SAMPLE], resume=True)
    assert len(hook_of(runner, SampleHook)._base) == 2


def test_a_resumed_run_makes_up_for_pictures_that_are_owed(tmp_path):
    train(tmp_path, 2, custom_hooks=[SAMPLE])
    owed = sorted((tmp_path / "samples").glob("step000002*"))
    expected = [path.read_bytes() for path in owed]
    for path in owed:
        path.unlink()
    (tmp_path / "samples/step000000_0_a-red-circle.png").write_bytes(b"half")  # no reason to stop
    train(tmp_path, 2, custom_hooks=[SAMPLE], resume=True)
    assert [path.read_bytes() for path in owed if "_" in path.name] == expected[1:]
    before = owed[0].stat().st_mtime_ns
    train(tmp_path, 2, custom_hooks=[SAMPLE], resume=True)
    assert owed[0].stat().st_mtime_ns == before


def test_failing_samples_warn_once_and_the_training_goes_on(tmp_path, monkeypatch, capfd):
    def generate(self, prompts, **options):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(FakeModel, "generate", generate)
    runner = train(tmp_path, custom_hooks=[SAMPLE | {"interval": 1}])
    assert capfd.readouterr().out.count("Sampling failed") == 1
    assert runner.iter == 4


def test_a_failing_tracker_warns_once_and_the_training_goes_on(tmp_path, monkeypatch, capfd):
    from mmengine.visualization import LocalVisBackend

    def add_scalars(self, *args, **kwargs):
        raise ConnectionError("down")

    monkeypatch.setattr(LocalVisBackend, "add_scalars", add_scalars)
    runner = train(tmp_path, 8)
    text = capfd.readouterr().out
    assert text.count("Tracker LocalVisBackend failed") == 1 and runner.iter == 8


def test_the_table_before_training(tmp_path, capfd):
    train(tmp_path, 5, custom_hooks=[{"type": "EMAHook"}], train_cfg={"type": "StepLoop", "max_iters": 5})
    text = capfd.readouterr().out
    for part in (
        "96 values in 6 tensors",
        "all of net",
        "7 samples",
        "5 (5 optimizer steps), from 0",
        "2 = 2 x 1 (accumulation) x 1 (processes)",
        "0.01",
        "float32",
        str(tmp_path),
        "decay 0.9999",
        "for 2 checkpoints at once",
    ):
        assert part in text, part


def test_the_console_is_short_and_the_log_complete(tmp_path, capfd):
    runner = train(tmp_path, 40)
    text = capfd.readouterr().out
    lines = [line for line in text.splitlines() if "it/s" in line]
    assert len(lines) == 20 and "40/40 (100%) loss " in lines[-1] and "left" in lines[0]
    assert "Hooks will be" not in text and "Iter(train)" not in text
    log = next((tmp_path / runner.timestamp).glob("*.log")).read_text()
    for path in (tmp_path / "config.py", tmp_path / runner.timestamp / "vis_data/config.py"):
        assert "max_iters=40" in path.read_text()
    for part in ("Hooks will be", "Environment:", "Iter(train) [40/40]", "lr: "):
        assert part in log


def test_the_bar_and_log_lines_share_the_terminal(tmp_path, capfd):
    train(tmp_path, 3, default_hooks={"progress": {"bar": True}})
    captured = capfd.readouterr()
    assert "3/3" in captured.err and "loss" in captured.err
    assert "Saved" in captured.out


def test_default_hooks_can_be_switched_off_and_set(tmp_path):
    hooks = {"progress": None, "preflight": None, "checkpoint": {"interval": 7, "max_keep_ckpts": 2}}
    runner = Runner.from_cfg(config(tmp_path, default_hooks=hooks))
    assert not any(isinstance(hook, ProgressHook) for hook in runner.hooks)
    checkpoint = hook_of(runner, CheckpointHook)
    assert (checkpoint.interval, checkpoint.max_keep_ckpts) == (7, 2)


def test_no_room_ends_the_training_before_it_starts(tmp_path, monkeypatch):
    monkeypatch.setattr("diffkit.engine.disk.free_bytes", lambda folder: 100)
    with pytest.raises(OSError, match=r"needs 1\.2 kB .*100 bytes.* free"):
        train(tmp_path)


def test_a_full_disk_keeps_the_old_checkpoint(tmp_path, monkeypatch):
    from diffkit.engine import checkpointing
    from diffkit.engine.checkpoint import find_latest

    original = checkpointing.save_tensors
    calls = []

    def full(tensors, path):
        calls.append(path)
        if len(calls) > 2:
            raise OSError(28, "No space left on device")
        original(tensors, path)

    monkeypatch.setattr(checkpointing, "save_tensors", full)
    with pytest.raises(OSError, match=r"no room for the checkpoint step5.*make room and resume"):
        train(tmp_path, 6)
    assert find_latest(tmp_path).folder == tmp_path / "step2"
    monkeypatch.undo()
    assert train(tmp_path, 6, resume=True).iter == 6


def test_where_not_a_byte_is_free_the_old_config_stays_and_the_forecast_tells(tmp_path, monkeypatch):
    train(tmp_path, 2)
    before = (tmp_path / "config.py").read_text()
    runner = Runner.from_cfg(config(tmp_path, 3))
    original = Path.write_bytes

    def full(path, content):
        original(path, b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    monkeypatch.setattr("diffkit.engine.disk.free_bytes", lambda folder: 0)
    with pytest.raises(DiskFullError, match=r"needs 1\.2 kB .*\(0 bytes\) are free"):
        runner.train()
    assert (tmp_path / "config.py").read_text() == before
    assert not list(tmp_path.glob(".*config*"))


@pytest.mark.parametrize(
    ("kind", "options", "name"),
    [
        (EMAHook, {"decay": 1.0}, "decay"),
        (EMAHook, {"update_every": 0}, "update_every"),
        (SampleHook, {"prompts": "one text"}, "prompts"),
        (SampleHook, {"prompts": []}, "prompts"),
        (SampleHook, {"prompts": ["a"], "interval": 0}, "interval"),
        (SampleHook, {"prompts": ["a"], "batch_size": -1}, "batch_size"),
        (CheckpointHook, {"interval": 0}, "interval"),
        (CheckpointHook, {"max_keep_ckpts": 0}, "max_keep_ckpts"),
        (ProgressHook, {"interval": 0}, "interval"),
    ],
)
def test_faults_name_the_argument(kind, options, name):
    with pytest.raises(ValueError, match=name):
        kind(**options)


def test_a_log_that_cannot_be_written_is_told_once(tmp_path, capfd):
    runner = Runner.from_cfg(config(tmp_path))
    handler = next(handler for handler in runner.logger.handlers if isinstance(handler, logging.FileHandler))

    def write(text):
        raise OSError(28, "No space left on device")

    handler.stream.write = write
    for _ in range(3):
        runner.logger.info("a line")
    text = capfd.readouterr().err
    assert text.count("cannot be written, the training goes on") == 1 and "No space left" in text
    assert "Traceback" not in text


def test_quiet_handlers_do_not_pile_up(tmp_path):
    runner = Runner.from_cfg(config(tmp_path))
    streams = [h for h in runner.logger.handlers if type(h) is logging.StreamHandler]
    assert len(streams) == 1
