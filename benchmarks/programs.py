"""The two command lines of a comparison."""

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.methods import Method, Setting

ROOT = Path(__file__).resolve().parent.parent
NEVER = 10**9


def find_script(peers: Sequence[str | Path], script: str) -> Path:
    """The script in the first of the folders that has it.

    Raises:
        ValueError: none has.
    """
    for folder in peers:
        if (Path(folder) / script).is_file():
            return (Path(folder) / script).resolve()
    raise ValueError(f"--peer: {script} is not in {', '.join(map(str, peers))}; give a checkout that has it")


def peer_environment(work_dir: Path, peer_path: Sequence[str | Path]) -> dict[str, str]:
    """What the peer's process gets beside the environment of all."""
    paths = [str(ROOT), *(str(Path(path).resolve()) for path in peer_path)]
    return {"PYTHONPATH": os.pathsep.join(paths), "HF_DATASETS_CACHE": str(work_dir / "datasets")}


def own_environment() -> dict[str, str]:
    """What diffkit's process gets: this checkout."""
    return {"PYTHONPATH": str(ROOT)}


def peer_command(method: Method, script: Path, at: Setting, out: Path, steps: int,
                 launch: Sequence[str] = ()) -> list[str]:
    """A training by the peer's script.

    Args:
        method: what is trained.
        script: of the peer.
        at: what both programs are given.
        out: for what it writes; what is there is removed.
        steps: of the training.
        launch: arguments of :mod:`benchmarks.launch`.
    """
    shutil.rmtree(out, ignore_errors=True)
    options: dict[str, Any] = {
        "pretrained_model_name_or_path": at.pipeline, "output_dir": out, "resolution": at.pixels,
        "train_batch_size": at.batch, "max_train_steps": steps, "seed": at.seed, **method.arguments(at)}
    arguments = []
    for name, value in options.items():
        if value is True:
            arguments.append(f"--{name}")
        elif value is not False:
            arguments.append(f"--{name}={value}")
    return [sys.executable, "-m", "benchmarks.launch", *launch, str(script), *arguments]


def diffkit_command(method: Method, at: Setting, out: Path, steps: int, more: Mapping[str, Any] | None = None,
                    launch: Sequence[str] = ()) -> list[str]:
    """A training by diffkit; the arguments are those of :func:`peer_command`.

    ``more`` are further values that replace those of the config.
    """
    shutil.rmtree(out, ignore_errors=True)
    options = {**diffkit_options(method, at, steps), **(more or {})}
    program = [sys.executable, "-m", "diffkit"]
    if launch:
        program = [sys.executable, "-m", "benchmarks.launch", *launch, "-m", "diffkit"]
    return [*program, "train", method.config, "--work-dir", str(out), "--cfg-options",
            *(f"{key}={value!r}" for key, value in options.items())]


def diffkit_options(method: Method, at: Setting, steps: int) -> dict[str, Any]:
    """What replaces values of the method's config."""
    return {
        "model.pretrained": str(at.pipeline), "train_cfg.max_iters": steps, "randomness.seed": at.seed,
        "train_dataloader.batch_size": at.batch, "train_dataloader.num_workers": 0,
        "train_dataloader.persistent_workers": False, "train_dataloader.dataset.resolution": at.pixels,
        "optim_wrapper.dtype": None, "default_hooks.checkpoint.interval": NEVER,
        "custom_hooks": [{"type": hook} for hook in method.hooks], **method.options(at)}
