"""Measuring a trained model as its config says."""

import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffkit.apis.configs import load_config
from diffkit.apis.runner import build_runner
from diffkit.utils.launch import check_launcher, launched

if TYPE_CHECKING:
    from mmengine.config import Config

_OF_TRAINING = (
    "train_dataloader", "train_cfg", "optim_wrapper", "param_scheduler", "val_dataloader", "val_cfg", "val_evaluator")


def test(
    config: "str | Path | Config",
    checkpoint: str | Path | None = None,
    *,
    work_dir: str | Path | None = None,
    cfg_options: dict[str, Any] | None = None,
    launcher: str = "none",
    local_rank: int | None = None,
) -> dict[str, float]:
    """Runs the test loop of a config and returns its metrics; the log file has them too.

    Args:
        config: a config file, the name of a config that comes with diffkit, or a loaded config.
        checkpoint: a step folder of a training with that config, or its work dir, which stands for the
            newest; without it the model is measured as it is before training.
        work_dir: where the log goes; else ``work_dir`` of the config, else ``work_dirs/<name of the
            config>``.
        cfg_options: values that replace those of the config, by dotted key.
        launcher: what started the processes: "none", "pytorch", "slurm" or "mpi".
        local_rank: the rank on this machine, where a launcher passes it as an argument.

    Raises:
        ConfigError: the config has faults; the message lists all.
        FileNotFoundError: there is no such config or checkpoint.
        ValueError: an argument is not valid, or the config does not say what to measure.
    """
    check_launcher(launcher)
    folder = _step_folder(Path(checkpoint)) if checkpoint is not None else None
    cfg = load_config(config, work_dir=work_dir, cfg_options=cfg_options)
    missing = [key for key in ("test_dataloader", "test_cfg", "test_evaluator") if cfg.get(key) is None]
    if missing:
        raise ValueError(
            f"config: {cfg.filename} does not say what to measure; it lacks {', '.join(missing)}"
        )
    if folder is not None:
        cfg.load_from = str(folder)
    cfg.resume = False
    for key in _OF_TRAINING:  # its data would be read and verified for nothing
        cfg[key] = None
    with launched(launcher, cfg, local_rank):
        runner = build_runner(cfg)
        _keep_metrics_off_console(runner.logger)
        return runner.test()


def metric_lines(metrics: dict[str, float]) -> list[str]:
    """Metrics as lines of text; a value, its standard error (``…_se``) and number (``…_n``) share a line."""
    lines = []
    for name, value in metrics.items():
        if name.endswith(("_se", "_n")) and name.rpartition("_")[0] in metrics:
            continue
        text = f"{name}: {value:.4f}" if isinstance(value, float) else f"{name}: {value}"
        if f"{name}_se" in metrics:
            text += f" ± {metrics[f'{name}_se']:.4f}"
        if f"{name}_n" in metrics:
            text += f" (n = {metrics[f'{name}_n']:.0f})"
        lines.append(text)
    return lines


def _keep_metrics_off_console(logger: logging.Logger) -> None:
    """The line of all metrics is for the log file: who called has them. Lines of progress, with an ``eta``, stay."""
    from diffkit.engine.logs import console_handlers

    for handler in console_handlers(logger):
        handler.addFilter(lambda record: not re.match(r"Iter\(test\)(?!.*\beta:)", record.getMessage()))


def _step_folder(path: Path) -> Path:
    """The folder itself, or the newest valid step folder in it."""
    from diffkit.engine.checkpoint import find_latest

    if not path.is_dir():
        raise FileNotFoundError(f"checkpoint: no step folder {str(path)!r}")
    return path if (path / "manifest.json").is_file() else find_latest(path).folder or path
