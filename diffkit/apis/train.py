"""Training from a config."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffkit.apis.configs import load_config
from diffkit.apis.runner import build_runner
from diffkit.utils.launch import check_launcher, launched

if TYPE_CHECKING:
    from mmengine.config import Config


def train(
    config: "str | Path | Config",
    *,
    work_dir: str | Path | None = None,
    resume: str | Path | None = None,
    allow_change: bool = False,
    cfg_options: dict[str, Any] | None = None,
    launcher: str = "none",
    local_rank: int | None = None,
) -> Path:
    """Checks a config, trains it and leaves step folders in the work dir.

    Args:
        config: a config file, the name of a config that comes with diffkit, or a loaded config.
        work_dir: where to write; else ``work_dir`` of the config, else ``work_dirs/<name of the config>``.
        resume: "auto" goes on from the newest valid step folder in the work dir (from the start where there
            is none), a path from that step folder, None starts anew.
        allow_change: goes on from a step folder even if the config has changed in what alters the results, or the data
            or the number of processes have.
        cfg_options: values that replace those of the config, by dotted key: ``{"train_cfg.max_iters": 100}``.
        launcher: what started the processes: "none", "pytorch", "slurm" or "mpi".
        local_rank: the rank on this machine, where a launcher passes it as an argument.

    Returns:
        The work dir.

    Raises:
        ConfigError: the config has faults; the message lists all.
        FileNotFoundError: there is no such config.
        ValueError: an argument is not valid, or the checkpoint to go on from does not fit.
        SystemExit: 130 or 143 after SIGINT or SIGTERM; a step folder has been written then.
    """
    check_launcher(launcher)
    cfg = load_config(config, work_dir=work_dir, cfg_options=cfg_options)
    if resume:
        cfg.resume = str(resume)
    if allow_change:
        cfg.resume_allow_change = True
    with launched(launcher, cfg, local_rank):
        build_runner(cfg).train()
    return Path(cfg.work_dir)
