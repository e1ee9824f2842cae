"""Several processes: what launchers leave, gloo on a CPU, and the exit status."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from diffkit.utils.launch import check_launcher, export_ranks, launched

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
    with launched("pytorch", {}):
        import torch.distributed as dist
        assert dist.get_backend() == "gloo" and dist.get_world_size() == 2
        if dist.get_rank() == 1:
            raise RuntimeError("rank 1 has failed")
        dist.barrier()

command.run = run
sys.exit(cli.main(["version"]))
"""


def start(*arguments: str, cwd: Path) -> subprocess.CompletedProcess:
    """Runs something in two processes, as mim does."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "torch.distributed.launch",
        "--nproc_per_node=2",
        f"--master_port={port}",
    ]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(
        [*command, *arguments], cwd=cwd, env=env, capture_output=True, text=True, timeout=300
    )


@pytest.mark.slow
def test_two_processes_train_on_a_cpu(sd_folder, tmp_path):
    (tmp_path / "tiny_lora.py").write_text(CONFIG.format(pretrained=str(sd_folder)), encoding="utf-8")
    result = start(str(ROOT / "tools" / "train.py"), "tiny_lora.py", "--launcher", "pytorch", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "2 (processes)" in result.stdout + result.stderr
    assert (tmp_path / "work_dirs/tiny_lora/step1/manifest.json").is_file()
    assert (tmp_path / "work_dirs/tiny_lora/step1/pytorch_lora_weights.safetensors").is_file()


def test_a_failed_rank_fails_the_launch(tmp_path):
    script = tmp_path / "failing.py"
    script.write_text(FAILING, encoding="utf-8")
    result = start(str(script), cwd=tmp_path)
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
