"""What a training took is noted beside its log: of each start, of all its processes, and of trainings alone."""

import json
import multiprocessing
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from mmengine.config import Config

from diffkit.engine import Runner
from diffkit.engine.hooks.cost import CostHook, cpu_seconds
from tests.engine.fakes import make_config


def costs(folder):
    return [json.loads(file.read_text()) for file in sorted(folder.glob("*/cost*.json"))]


def test_each_start_of_a_training_has_its_cost(tmp_path):
    began, worked = time.monotonic(), cpu_seconds()
    stop = {"stop": {"type": "StopAfter", "iterations": 4}, "logger": {"interval": 1}}
    Runner.from_cfg(Config(make_config(tmp_path, 6, default_hooks=stop))).train()
    Runner.from_cfg(Config(make_config(tmp_path, 6, resume=True))).train()
    first, second = costs(tmp_path)
    assert (first["iterations"], second["iterations"]) == (4, 2)
    assert 0 < first["seconds"] + second["seconds"] <= time.monotonic() - began
    assert 0 < first["cpu_seconds"] + second["cpu_seconds"] <= cpu_seconds() - worked + 0.01


def work(done):
    """Works for 0.3 s, says so, and waits to be ended."""
    while time.process_time() < 0.3:
        pass
    done.set()
    time.sleep(600)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the system does not say it")
def test_processes_that_read_data_count_while_they_run_and_once_after():
    context = multiprocessing.get_context("fork")
    before, done = cpu_seconds(), context.Event()
    child = context.Process(target=work, args=(done,))
    child.start()
    done.wait(300)
    running = cpu_seconds() - before
    child.terminate()
    child.join()
    assert 0.25 < running <= cpu_seconds() - before + 0.05  # the system counts in hundredths


def runner_at(folder, iteration, rank=0):
    (folder / "moment").mkdir(exist_ok=True)
    return SimpleNamespace(work_dir=str(folder), timestamp="moment", iter=iteration, rank=rank)


def test_it_is_written_at_times(tmp_path):
    hook = CostHook(interval=0)
    hook.before_run(runner_at(tmp_path, 0))
    hook.before_train(runner_at(tmp_path, 10))
    hook.after_train_iter(runner_at(tmp_path, 12), 2)
    assert [cost["iterations"] for cost in costs(tmp_path)] == [3]
    hook.interval = 600
    hook.after_train_iter(runner_at(tmp_path, 13), 3)
    assert [cost["iterations"] for cost in costs(tmp_path)] == [3]
    hook.after_run(runner_at(tmp_path, 14, rank=1))
    assert [cost["iterations"] for cost in costs(tmp_path)] == [3, 4]  # of another process


def test_a_test_is_no_training(tmp_path):
    hook = CostHook()
    hook.before_run(runner_at(tmp_path, 0))
    hook.after_run(runner_at(tmp_path, 0))
    assert costs(tmp_path) == []
    with pytest.raises(ValueError, match="interval must be a number of at least 0, given -1"):
        CostHook(-1)
