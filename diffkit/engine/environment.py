"""Threads, TF32 and what the log says about the machine."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

_PACKAGES = ("diffkit", "torch", "mmengine", "diffusers", "transformers", "peft", "numpy")


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


def describe_environment() -> str:
    """Returns versions, device and threads as text."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    lines = [f"python {platform.python_version()} on {platform.platform()}",
             f"device {device}, {torch.get_num_threads()} torch threads of {os.cpu_count()} cores",
             f"TF32 {'on' if torch.backends.cuda.matmul.allow_tf32 else 'off'}"]
    return "Environment:\n" + "\n".join(lines + [f"{name} {_version(name)}" for name in _PACKAGES])


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
