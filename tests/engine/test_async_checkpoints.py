"""Checkpoints that are written beside the training: the same files, the same errors, and one at a time."""

import json
import threading

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook

from diffkit.engine import Runner, checkpointing
from diffkit.engine.background import BackgroundWork
from diffkit.engine.checkpoint import find_latest, verify_checkpoint
from diffkit.engine.errors import NonFiniteError
from diffkit.engine.state_io import host_copy
from tests.engine.fakes import make_config
from tests.engine.test_engine_resume import assert_same_checkpoint

EMA = {"custom_hooks": [{"type": "EMAHook", "decay": 0.9}]}


def runner_of(work_dir, max_iters=6, interval=2, hooks=(), **changes):
    cfg = Config(make_config(work_dir, max_iters))
    cfg.merge_from_dict({"default_hooks.checkpoint": {"interval": interval, "async_write": True}} | changes)
    runner = Runner.from_cfg(cfg)
    for hook in hooks:
        runner.register_hook(hook, priority="LOWEST")
    return runner


class Calls(Hook):
    """Calls a function after an iteration's checkpoint has been begun."""

    alters_training = False

    def __init__(self, call):
        self.call = call

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.call(runner)


@pytest.fixture
def held(monkeypatch):
    """Holds back what a thread does, before it writes the state, until it is let go."""
    gate = threading.Event()
    check = checkpointing.check_finite_files

    def later(folder, step):
        if threading.current_thread() is not threading.main_thread():
            assert gate.wait(60)
        check(folder, step)

    monkeypatch.setattr(checkpointing, "check_finite_files", later)
    return gate


@pytest.mark.parametrize("changes", [
    EMA, EMA | {"optim_wrapper.accumulative_counts": 4}, {"optim_wrapper.dtype": "bfloat16"},
], ids=["average", "incomplete accumulation", "bfloat16"])
def test_the_files_are_those_of_a_training_that_waits(tmp_path, changes):
    for name, asynchronous in (("waits", False), ("beside", True)):
        options = changes | {"default_hooks.checkpoint.async_write": asynchronous}
        runner_of(tmp_path / name, **options).train()
    for step in (1, 3, 5):
        assert verify_checkpoint(tmp_path / f"beside/step{step}") == []
        assert_same_checkpoint(tmp_path / f"waits/step{step}", tmp_path / f"beside/step{step}")


def test_what_later_steps_change_is_not_in_it(tmp_path, held):
    """The state is written only when another step has changed weights, averages, optimizer, gradients and log."""
    def let_go(runner):
        if runner.iter == 2:
            held.set()

    for counts in (1, 4):
        held.clear()
        options = {"optim_wrapper.accumulative_counts": counts} | EMA
        runner_of(tmp_path / f"beside{counts}", 5, 2, [Calls(let_go)], **options).train()
        options["default_hooks.checkpoint.async_write"] = False
        runner_of(tmp_path / f"waits{counts}", 5, 2, **options).train()
        assert_same_checkpoint(tmp_path / f"waits{counts}/step1", tmp_path / f"beside{counts}/step1")


def test_the_training_goes_on_meanwhile_and_one_is_written_at_a_time(tmp_path, held):
    seen, running = [], []

    def look(runner):
        writers = [thread.name for thread in threading.enumerate() if thread.name.startswith("writes step")]
        running.append(len(writers))
        seen.append((runner.iter, (tmp_path / "step1").exists()))
        if runner.iter == 2:
            held.set()

    runner_of(tmp_path, 6, 2, [Calls(look)]).train()
    assert seen[1:3] == [(1, False), (2, False)]  # two steps were done while it was not there
    assert max(running) == 1
    assert seen[3] == (3, True)  # the next one waited for it
    assert [path.name for path in sorted(tmp_path.glob("step*"))] == ["step1", "step3", "step5"]
    assert not list(tmp_path.glob(".writing-*"))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("writes step")]


def test_the_oldest_goes_when_the_new_one_stands(tmp_path):
    runner_of(tmp_path, 9, 2, **{"default_hooks.checkpoint.max_keep_ckpts": 2}).train()
    assert sorted(path.name for path in tmp_path.glob("step*")) == ["step7", "step8"]


def full_disk(monkeypatch, after):
    original, calls = checkpointing.save_tensors, []

    def full(tensors, path):
        calls.append(path)
        if len(calls) > after:
            raise OSError(28, "No space left on device")
        original(tensors, path)

    monkeypatch.setattr(checkpointing, "save_tensors", full)


def test_a_full_disk_ends_the_training_with_the_same_error(tmp_path, monkeypatch):
    full_disk(monkeypatch, after=2)  # two files of the first checkpoint
    with pytest.raises(OSError, match=r"no room for the checkpoint step3.*make room and resume"):
        runner_of(tmp_path, 100, 2).train()
    assert find_latest(tmp_path).folder == tmp_path / "step1"
    assert not list(tmp_path.glob(".writing-*"))
    monkeypatch.undo()
    assert Runner.from_cfg(Config(make_config(tmp_path, 6, resume=True))).resume_from is True


def test_it_ends_at_the_next_step_and_not_only_at_the_next_checkpoint(tmp_path, monkeypatch):
    full_disk(monkeypatch, after=0)
    steps = []

    def wait_for_it(runner):
        steps.append(runner.iter)
        if runner.saving is not None:
            runner.saving[0].wait()

    with pytest.raises(OSError, match="no room for the checkpoint step1"):
        runner_of(tmp_path, 100, 2, [Calls(wait_for_it)]).train()
    assert steps == [0, 1]


def test_weights_that_are_not_finite_leave_nothing(tmp_path):
    def spoil(runner):
        if runner.iter == 2:
            with torch.no_grad():
                runner.bare_model.net[0].weight[0, 0] = torch.nan

    hook = Calls(spoil)
    hook.priority = "HIGHEST"
    with pytest.raises(NonFiniteError, match="no checkpoint was written after iteration 3"):
        runner_of(tmp_path, 100, 2, [hook], **{"optim_wrapper.max_skipped": 50}).train()
    assert find_latest(tmp_path).folder == tmp_path / "step1"


def test_another_error_of_the_training_lets_the_checkpoint_be_completed(tmp_path, held):
    def fail(runner):
        if runner.iter == 2:
            held.set()
            raise RuntimeError("something else")

    with pytest.raises(RuntimeError, match="something else"):
        runner_of(tmp_path, 6, 2, [Calls(fail)]).train()
    assert verify_checkpoint(tmp_path / "step1") == []


def test_the_training_may_end_right_after_a_write_has_begun(tmp_path):
    def stop(runner):  # after the hook of the checkpoint has looked
        runner.train_loop.stop_training = runner.iter == 1

    runner_of(tmp_path, 6, 2, [Calls(stop)]).train()
    assert verify_checkpoint(tmp_path / "step1") == []


def test_a_copy_shares_no_memory():
    tensor = torch.arange(6.0).view(2, 3)
    nest = {"a": [tensor, (tensor[:, 1], 3)], "b": {0: "x"}}
    copy = host_copy(nest)
    tensor.zero_()
    assert torch.equal(copy["a"][0], torch.arange(6.0).view(2, 3))
    assert copy["a"][1][0].tolist() == [1.0, 4.0]
    assert json.dumps([copy["a"][1][1], copy["b"][0]]) == '[3, "x"]'


def test_work_tells_its_error_when_it_is_waited_for():
    work = BackgroundWork(lambda: 1 / 0, "test")
    assert isinstance(work.wait(), ZeroDivisionError)
    assert work.failed
    done = BackgroundWork(lambda: None, "test")
    assert done.wait() is None
    assert not done.failed
