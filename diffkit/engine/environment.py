"""Threads, TF32 and what the log says about the machine."""

import itertools
import os
import platform
import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch
from mmengine.dist import broadcast_object_list, get_world_size

from diffkit.engine.errors import ProcessLostError

_PACKAGES = ("diffkit", "torch", "mmengine", "diffusers", "transformers", "peft", "numpy")
_LOST = re.compile(r"[Cc]onnection (closed|reset|refused)|[Bb]roken pipe|[Tt]imed out|NCCL|ncclRemoteError")
_used: set[str] = set()


def apply_environment(env_cfg: dict[str, Any]) -> None:
    """Sets ``num_threads`` (of torch's CPU work, at least 1) and ``allow_tf32`` if they are given."""
    threads = env_cfg.get("num_threads")
    if threads is not None:
        if not isinstance(threads, int) or threads < 1:
            raise ValueError(f"env_cfg.num_threads must be an integer of at least 1, given {threads!r}")
        torch.set_num_threads(threads)
    tf32 = env_cfg.get("allow_tf32")
    if tf32 is not None:
        if not isinstance(tf32, bool):
            raise TypeError(f"env_cfg.allow_tf32 must be True or False, given {tf32!r}")
        torch.backends.cuda.matmul.allow_tf32 = tf32
        torch.backends.cudnn.allow_tf32 = tf32


def unused_run_name(work_dir: str, name: str) -> str:
    """Returns ``name``, or with a number behind it the first one that no run before has used.

    Two runs in one second would otherwise share a log, and in one process a logger too.
    """
    names = (name if number == 0 else f"{name}_{number}" for number in itertools.count())
    chosen = [next(each for each in names if not _is_used(work_dir, each))]
    broadcast_object_list(chosen, 0)
    _used.add(chosen[0])
    return chosen[0]


@contextmanager
def lost_processes_explained() -> Iterator[None]:
    """Says in plain words that another process of the training is gone, where that ended this one.

    Raises:
        ProcessLostError: in place of the communication library's error.
    """
    try:
        yield
    except RuntimeError as error:
        if get_world_size() > 1 and _LOST.search(str(error)):
            raise ProcessLostError(
                "another process of this training has ended or cannot be reached; its own output says why. The last "
                "checkpoint is whole: --resume goes on from it"
            ) from error
        raise


def describe_environment() -> str:
    """Returns versions, device and threads as text."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    lines = [
        f"python {platform.python_version()} on {platform.platform()}",
        f"device {device}, {torch.get_num_threads()} torch threads of {os.cpu_count()} cores",
        f"TF32 {'on' if torch.backends.cuda.matmul.allow_tf32 else 'off'}",
    ]
    return "Environment:\n" + "\n".join(lines + [f"{name} {_version(name)}" for name in _PACKAGES])


def _is_used(work_dir: str, name: str) -> bool:
    return name in _used or os.path.exists(os.path.join(work_dir, name))


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
