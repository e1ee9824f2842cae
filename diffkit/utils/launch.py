"""Starting in several processes: the environment that launchers leave, and gloo where there is no GPU.

MMEngine's ``init_dist`` selects a CUDA device whatever the backend, so on a CPU the process group has to
exist before the runner is built.
"""

import os
import subprocess
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

LAUNCHERS = ("none", "pytorch", "slurm", "mpi")
#: The variables of each launcher that mean RANK, WORLD_SIZE and LOCAL_RANK.
VARIABLES = {
    "pytorch": ("RANK", "WORLD_SIZE", "LOCAL_RANK"),
    "slurm": ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID"),
    "mpi": ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"),
}
STARTERS = {
    "pytorch": "torchrun --nproc_per_node=2 -m diffkit train CONFIG --launcher pytorch",
    "slurm": "srun -n 2 python -m diffkit train CONFIG --launcher slurm",
    "mpi": "mpirun -n 2 python -m diffkit train CONFIG --launcher mpi (Open MPI)",
}
LOCALHOST = "127.0.0.1"
DEFAULT_PORT = "29500"


@contextmanager
def launched(launcher: str, cfg: MutableMapping[str, Any], local_rank: int | None = None) -> Iterator[None]:
    """Everything that a run in one or several processes needs around it.

    On leaving without an error the process group is destroyed. After an error that is left to the launcher,
    which ends the other processes: a rank that waits for them here would wait for ever.

    Args:
        launcher: one of :data:`LAUNCHERS`.
        cfg: the config; its ``launcher`` is set.
        local_rank: what an old launcher passed as ``--local-rank``.

    Raises:
        ValueError: the launcher is unknown, or its environment variables are missing.
    """
    check_launcher(launcher)
    cfg["launcher"] = launcher
    if launcher == "none":
        yield
        return
    if local_rank is not None:
        os.environ.setdefault("LOCAL_RANK", str(local_rank))
    export_ranks(launcher, os.environ)
    if _on_cpu():
        dist_cfg = (cfg.get("env_cfg") or {}).get("dist_cfg") or {}
        _start_gloo(dist_cfg.get("timeout"))
    try:
        yield
    except SystemExit:  # a stop on which all processes agreed
        _destroy_group()
        raise
    _destroy_group()


def check_launcher(launcher: str) -> None:
    """Raises ValueError where ``launcher`` is not one of :data:`LAUNCHERS`."""
    if launcher not in LAUNCHERS:
        raise ValueError(f"launcher: got {launcher!r}, allowed: {', '.join(LAUNCHERS)}")


def export_ranks(launcher: str, environ: MutableMapping[str, str]) -> None:
    """Sets RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT from what the launcher left.

    MASTER_ADDR is the first node of Slurm's step, and this machine where there is only one. What is set
    already is kept.

    Raises:
        ValueError: the launcher's own variables are missing (nothing started this process in its name), or
            they do not tell the host of rank 0.
    """
    names = VARIABLES[launcher]
    missing = [name for name in names if name not in environ]
    if missing:
        raise ValueError(
            f"launcher: {launcher!r} needs the environment variables {', '.join(missing)}; "
            f"start it with: {STARTERS[launcher]}"
        )
    for name, source in zip(VARIABLES["pytorch"], names, strict=True):
        environ[name] = environ[source]
    environ.setdefault("MASTER_PORT", DEFAULT_PORT)
    if "MASTER_ADDR" not in environ:
        environ["MASTER_ADDR"] = _master_address(launcher, environ)


def _master_address(launcher: str, environ: MutableMapping[str, str]) -> str:
    """The host of rank 0."""
    if launcher == "slurm":
        return _first_node(environ)
    if launcher == "mpi" and environ.get("OMPI_COMM_WORLD_LOCAL_SIZE") != environ["OMPI_COMM_WORLD_SIZE"]:
        raise ValueError(
            "launcher: 'mpi' over several machines needs the environment variable MASTER_ADDR: "
            "the host of rank 0"
        )
    return LOCALHOST


def _first_node(environ: MutableMapping[str, str]) -> str:
    """The first node of this Slurm step, which may have fewer nodes than its job."""
    count = _first_of(environ, "SLURM_STEP_NUM_NODES", "SLURM_NNODES", "SLURM_JOB_NUM_NODES")
    if count is None or int(count) == 1:
        return LOCALHOST
    nodes = _first_of(environ, "SLURM_STEP_NODELIST", "SLURM_NODELIST", "SLURM_JOB_NODELIST") or ""
    command = ["scontrol", "show", "hostnames", nodes]
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[0]
    except (OSError, subprocess.CalledProcessError, IndexError):
        raise ValueError(
            f"launcher: 'slurm' on {count} nodes: {' '.join(command)!r} does not tell the host of rank 0; "
            "set the environment variable MASTER_ADDR to it"
        ) from None


def _first_of(environ: MutableMapping[str, str], *names: str) -> str | None:
    return next((environ[name] for name in names if environ.get(name)), None)


def _on_cpu() -> bool:
    from mmengine.device import get_device

    return get_device() == "cpu"


def _start_gloo(timeout: float | None) -> None:
    import torch.distributed as dist

    if not dist.is_initialized():
        dist.init_process_group("gloo", timeout=timedelta(seconds=timeout) if timeout else None)


def _destroy_group() -> None:
    import torch.distributed as dist

    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()
