"""Several processes: what launchers leave, gloo on a CPU, and the exit status."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from diffkit.utils.launch import check_launcher, export_ranks, launched
from tests import launchers

ROOT = Path(__file__).resolve().parents[1]
CONFIG = """
from torch.optim import AdamW

from diffkit.datasets import DrawSampler, ShapesDataset, collate_samples
from diffkit.engine import OptimWrapper, StepLoop
from diffkit.models import LatentDiffusion, LoRATuner, StableDiffusion

model = dict(
    type=LatentDiffusion,
    family=dict(type=StableDiffusion),
    pretrained={pretrained!r},
    tuners=dict(unet=dict(type=LoRATuner, component="unet", rank=2)))
train_dataloader = dict(
    batch_size=1,
    num_workers=0,
    dataset=dict(type=ShapesDataset, length=8, resolution=32),
    sampler=dict(type=DrawSampler),
    collate_fn=dict(type=collate_samples))
train_cfg = dict(type=StepLoop, max_iters=2)
optim_wrapper = dict(type=OptimWrapper, optimizer=dict(type=AdamW, lr=1e-3))
"""
#: A command of two processes in which rank 1 fails while rank 0 waits for it.
FAILING = """
import sys
import diffkit.commands.version as command
from diffkit import cli
from diffkit.utils.launch import launched

def run(args):
    with launched(sys.argv[-1], {}):
        import torch.distributed as dist
        assert dist.get_backend() == "gloo" and dist.get_world_size() == 2
        if dist.get_rank() == 1:
            raise RuntimeError("rank 1 has failed")
        dist.barrier()

command.run = run
sys.exit(cli.main(["version"]))
"""


#: How two processes are started: by mim with ``--launcher pytorch``, by srun on two nodes, by mpirun.
STARTED = {
    "pytorch": [sys.executable, "-m", "torch.distributed.launch", "--nproc_per_node=2", "--master_port={port}"],
    "slurm": ["srun", "-N", "2", "-n", "2", "--kill-on-bad-exit=1", sys.executable],
    "mpi": ["mpirun", "-n", "2", sys.executable],
}


def start(launcher: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess:
    """Runs a script in two processes; those of srun and mpirun come from their stand-ins."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    command = [word.format(port=port) for word in STARTED[launcher]]
    own = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
    env = {name: value for name, value in os.environ.items() if name not in own}
    env |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    if launcher != "pytorch":
        folder = launchers.install(cwd / "bin")
        env |= {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}", "MASTER_PORT": port}
    return subprocess.run([*command, *arguments], cwd=cwd, env=env, capture_output=True, text=True, timeout=600)


def train_in_two_processes(launcher: str, pretrained: Path, folder: Path) -> Path:
    """Trains a tiny LoRA and returns its step folder."""
    (folder / "tiny_lora.py").write_text(CONFIG.format(pretrained=str(pretrained)), encoding="utf-8")
    result = start(launcher, str(ROOT / "tools/train.py"), "tiny_lora.py", "--launcher", launcher, cwd=folder)
    assert result.returncode == 0, result.stderr
    assert "2 (processes)" in result.stdout + result.stderr
    return folder / "work_dirs/tiny_lora/step1"


@pytest.fixture(scope="module")
def by_torch(sd_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The step folder of a training in two processes, as mim starts it."""
    return train_in_two_processes("pytorch", sd_folder, tmp_path_factory.mktemp("pytorch"))


@pytest.mark.slow
def test_two_processes_train_on_a_cpu(by_torch):
    assert (by_torch / "manifest.json").is_file()
    assert (by_torch / "pytorch_lora_weights.safetensors").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["slurm", "mpi"])
def test_slurm_and_mpi_train_as_torch_does(launcher, by_torch, sd_folder, tmp_path):
    step = train_in_two_processes(launcher, sd_folder, tmp_path)
    for name in ("unet/adapter_model.safetensors", "state/optimizer.safetensors"):
        assert (step / name).read_bytes() == (by_torch / name).read_bytes()


@pytest.mark.parametrize("launcher", STARTED)
def test_a_failed_rank_fails_the_launch(launcher, tmp_path):
    script = tmp_path / "failing.py"
    script.write_text(FAILING, encoding="utf-8")
    result = start(launcher, str(script), launcher, cwd=tmp_path)
    assert result.returncode != 0
    assert "rank 1 has failed" in result.stderr


@pytest.mark.parametrize(
    ("launcher", "environ"),
    [
        (
            "pytorch",
            {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "MASTER_ADDR": "host", "MASTER_PORT": "1"},
        ),
        ("slurm", {"SLURM_PROCID": "3", "SLURM_NTASKS": "4", "SLURM_LOCALID": "1"}),
        (
            "mpi",
            {
                "OMPI_COMM_WORLD_RANK": "3",
                "OMPI_COMM_WORLD_SIZE": "4",
                "OMPI_COMM_WORLD_LOCAL_RANK": "1",
                "OMPI_COMM_WORLD_LOCAL_SIZE": "4",
            },
        ),
    ],
)
def test_every_launcher_leads_to_the_same_variables(launcher, environ):
    given = dict(environ)
    export_ranks(launcher, environ)
    assert (environ["RANK"], environ["WORLD_SIZE"], environ["LOCAL_RANK"]) == ("3", "4", "1")
    assert environ["MASTER_ADDR"] == given.get("MASTER_ADDR", "127.0.0.1")
    assert environ["MASTER_PORT"] == given.get("MASTER_PORT", "29500")


#: What srun leaves in the first task of a step of two tasks on the nodes 2 and 3 of a job of three nodes.
STEP = {
    "SLURM_PROCID": "0",
    "SLURM_NTASKS": "2",
    "SLURM_LOCALID": "0",
    "SLURM_NNODES": "2",
    "SLURM_JOB_NUM_NODES": "3",
    "SLURM_STEP_NUM_NODES": "2",
    "SLURM_NODELIST": "n[1-3]",
    "SLURM_JOB_NODELIST": "n[1-3]",
    "SLURM_STEP_NODELIST": "n[2-3]",
}


def scontrol(folder: Path, lines: str, status: int = 0) -> str:
    """Makes a command ``scontrol`` that answers its last argument with these lines; returns a PATH with it."""
    command = folder / "scontrol"
    command.write_text(f'#!/bin/sh\n[ "$*" = "show hostnames n[2-3]" ] && printf "{lines}"\nexit {status}\n')
    command.chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


def test_slurm_over_machines_meets_at_the_first_node_of_the_step(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", scontrol(tmp_path, r"n2\nn3\n"))
    environ = dict(STEP)
    export_ranks("slurm", environ)
    assert environ["MASTER_ADDR"] == "n2"


def test_a_step_on_one_node_of_a_larger_job_meets_on_that_node(monkeypatch):
    monkeypatch.setenv("PATH", "")
    environ = STEP | {"SLURM_STEP_NUM_NODES": "1", "SLURM_STEP_NODELIST": "n2", "SLURM_NNODES": "1"}
    export_ranks("slurm", environ)
    assert environ["MASTER_ADDR"] == "127.0.0.1"


@pytest.mark.parametrize(("lines", "status"), [(None, 0), ("", 1), ("", 0)])
def test_slurm_over_machines_without_scontrol_needs_an_address(lines, status, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "" if lines is None else scontrol(tmp_path, lines, status))
    with pytest.raises(ValueError, match=r"scontrol show hostnames .*MASTER_ADDR"):
        export_ranks("slurm", dict(STEP))
    export_ranks("slurm", STEP | {"MASTER_ADDR": "n2"})


def test_mpi_over_machines_needs_an_address():
    environ = {
        "OMPI_COMM_WORLD_RANK": "0",
        "OMPI_COMM_WORLD_SIZE": "4",
        "OMPI_COMM_WORLD_LOCAL_RANK": "0",
        "OMPI_COMM_WORLD_LOCAL_SIZE": "2",
    }
    with pytest.raises(ValueError, match="MASTER_ADDR"):
        export_ranks("mpi", environ)
    export_ranks("mpi", environ | {"MASTER_ADDR": "host"})


@pytest.mark.parametrize("launcher", ["pytorch", "slurm", "mpi"])
def test_a_launcher_that_started_nothing_is_a_mistake(launcher, monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "SLURM_PROCID", "OMPI_COMM_WORLD_RANK"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(
        ValueError, match=f"launcher: '{launcher}' needs the environment variables .* start it with"
    ), launched(launcher, {}):
        pass


def test_an_unknown_launcher_is_a_mistake():
    with pytest.raises(ValueError, match="launcher: got 'horovod', allowed: none, pytorch, slurm, mpi"):
        check_launcher("horovod")


def test_one_process_needs_nothing():
    cfg: dict = {}
    with launched("none", cfg):
        pass
    assert cfg == {"launcher": "none"}
