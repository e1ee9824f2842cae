"""Trainings in processes of their own, forked from one that has the imports done."""

import faulthandler
import multiprocessing
import os
import sys
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

import matplotlib.pyplot  # noqa: F401  which MMEngine imports late: here once for all that are forked
from mmengine.config import Config
from mmengine.hooks import Hook

from diffkit.engine import Runner
from tests.engine.fakes import make_config

LONG = 100_000  # iterations of a training that a test stops
PATIENCE = 300  # seconds that a test waits for a process: machines may be busy


def train(work_dir, log, changes, rank=0, world_size=1):
    """Trains the fake model; all output goes to the file ``log``."""
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    faulthandler.dump_traceback_later(PATIENCE - 10)  # says where it hangs, if it does
    cfg = Config(make_config(work_dir))
    cfg.merge_from_dict(changes)
    if world_size > 1:
        import torch.distributed as dist

        os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(world_size), "LOCAL_RANK": str(rank)}
        store = dist.FileStore(f"{work_dir}.store", world_size)
        dist.init_process_group("gloo", store=store, rank=rank, world_size=world_size)
        cfg.launcher = "pytorch"
    try:
        Runner.from_cfg(cfg).train()
    finally:
        sys.stdout.flush()


def train_in_group(work_dir, log, changes):
    """Trains in a process group of its own, with all that it starts."""
    os.setpgrp()
    train(work_dir, log, changes)


def stuck(work_dir, log):
    """A training whose first step takes a minute."""
    runner = Runner.from_cfg(Config(make_config(work_dir)))
    runner.bare_model.train_step = lambda *args, **kwargs: (Path(log).write_text("in a step"), time.sleep(60))
    runner.train()


def stuck_before(work_dir, log):
    """A training whose first step never comes: a hook before it takes a minute."""
    runner = Runner.from_cfg(Config(make_config(work_dir)))
    hook = Hook()
    hook.before_train = lambda runner: (Path(log).write_text("before"), time.sleep(60))
    runner.register_hook(hook)
    runner.train()


def context():
    """Processes are forked from a server that has imported this module, never from pytest itself."""
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload([__name__])
    return server


def wait_for(log, text, process: BaseProcess, seconds=300):
    """Waits until ``text`` is in the file ``log``; returns all of it."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        content = Path(log).read_text() if Path(log).exists() else ""
        if text in content:
            return content
        if not process.is_alive():
            break
        time.sleep(0.02)
    raise AssertionError(f"{text!r} did not appear (exit code {process.exitcode}):\n{content}")
