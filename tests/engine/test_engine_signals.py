"""Signals and the lock, on real processes."""

import errno
import os
import signal
import time

import pytest

from diffkit.engine.checkpoint import find_latest
from diffkit.engine.errors import WorkDirBusyError
from diffkit.engine.lock import WorkDirLock, holder
from tests.engine.processes import LONG, PATIENCE, context, stuck, stuck_before, train, train_in_group, wait_for

ENDLESS = {
    "train_cfg.max_iters": LONG,
    "default_hooks.checkpoint.interval": -1,
    "default_hooks.progress": {"interval": 1},
    "resume": True,
}


@pytest.fixture
def start(tmp_path):
    """Starts a function in a process; all of them are ended after the test."""
    processes = []

    def start(target, *args):
        process = context().Process(target=target, args=args)
        process.start()
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.join()


@pytest.mark.parametrize(("number", "status", "workers"), [(signal.SIGTERM, 143, 0), (signal.SIGINT, 130, 2)])
def test_a_signal_saves_and_ends(tmp_path, start, number, status, workers):
    changes = ENDLESS | {"train_dataloader.num_workers": workers}
    process = start(train, tmp_path / "w", tmp_path / "log", changes)
    wait_for(tmp_path / "log", "it/s", process)
    os.kill(process.pid, number)
    process.join(PATIENCE)
    text = (tmp_path / "log").read_text()
    assert process.exitcode == status, text
    assert "Stopped by signal" in text and "Traceback" not in text
    assert "a second signal ends it at once" in text
    latest = find_latest(tmp_path / "w").folder
    again = start(train, tmp_path / "w", tmp_path / "again", changes)
    wait_for(tmp_path / "again", f"Resumed {latest}", again)


def test_a_signal_to_the_workers_of_the_data_too_saves_and_ends(tmp_path, start):
    """As Slurm, ``timeout`` and service managers send it: to every process of the training."""
    process = start(train_in_group, tmp_path / "w", tmp_path / "log", ENDLESS | {"train_dataloader.num_workers": 2})
    wait_for(tmp_path / "log", "it/s", process)
    os.killpg(process.pid, signal.SIGTERM)
    process.join(PATIENCE)
    text = (tmp_path / "log").read_text()
    assert process.exitcode == 143, text
    assert "Stopped by signal" in text and "Traceback" not in text
    assert find_latest(tmp_path / "w").folder is not None


def test_a_second_run_is_refused_and_a_killed_one_leaves_no_lock(tmp_path, start):
    first = start(train, tmp_path / "w", tmp_path / "log", ENDLESS)
    wait_for(tmp_path / "log", "it/s", first)
    second = start(train, tmp_path / "w", tmp_path / "second", ENDLESS)
    second.join(PATIENCE)
    assert second.exitcode == 1
    assert f"in use by another training (process {first.pid})" in (tmp_path / "second").read_text()
    assert first.is_alive()
    first.kill()
    first.join()
    WorkDirLock(tmp_path / "w").check()


def test_a_second_signal_ends_at_once(tmp_path, start):
    process = start(stuck, tmp_path / "w", tmp_path / "log")
    wait_for(tmp_path / "log", "in a step", process)
    os.kill(process.pid, signal.SIGTERM)
    time.sleep(0.3)
    assert process.is_alive()
    os.kill(process.pid, signal.SIGTERM)
    process.join(10)
    assert process.exitcode in (143, -signal.SIGTERM)


def test_a_signal_before_the_first_step_ends_at_once(tmp_path, start):
    process = start(stuck_before, tmp_path / "w", tmp_path / "log")
    wait_for(tmp_path / "log", "before", process)
    os.kill(process.pid, signal.SIGTERM)
    process.join(10)
    assert process.exitcode == -signal.SIGTERM
    WorkDirLock(tmp_path / "w").check()


def test_the_lock_is_for_one(tmp_path):
    first, second = WorkDirLock(tmp_path), WorkDirLock(tmp_path)
    assert holder(tmp_path) is None
    first.acquire()
    assert holder(tmp_path) == os.getpid()
    with pytest.raises(WorkDirBusyError, match=str(os.getpid())):
        second.acquire()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:  # a worker outlives its parent's lock without holding it
        os.write(writer, b"x")
        time.sleep(30)
        os._exit(0)
    os.read(reader, 1)
    first.release()
    assert holder(tmp_path) is None  # the file and the number in it are still there
    second.check()
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def test_a_full_disk_does_not_hinder_the_lock(tmp_path, monkeypatch):
    first, second = WorkDirLock(tmp_path), WorkDirLock(tmp_path)

    def full(handle, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("diffkit.engine.lock.os.write", full)
    first.acquire()
    monkeypatch.undo()
    with pytest.raises(WorkDirBusyError, match="in use by another training; choose"):
        second.acquire()
