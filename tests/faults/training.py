"""Small trainings that the fault suite disturbs: what is trained, and the process that does it.

The process tells what it does through a pipe, one line for each event: ``train 0`` before the first step, ``step <i>``
before iteration i, ``save <i>`` and ``saved <i>`` around all that a checkpoint holds up, ``signal <i>`` when a signal
has come, ``end 0``. The lines are short and each is one write, so that a signal handler may write too.
"""

import faulthandler
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.hooks import Hook

from diffkit.datasets import collate_samples
from diffkit.engine import Runner
from diffkit.engine.hooks import CheckpointHook
from diffkit.engine.interrupt import Interrupt
from diffkit.registry import HOOKS
from tests.tiny import tiny_sd

ITERATIONS, INTERVAL = 12, 3
LAST = f"step{ITERATIONS - 1}"
HANG = 550  # seconds after which a process that hangs says where

LORA = {"unet": {"type": "LoRATuner", "component": "unet", "rank": 2, "dropout": 0.1}}
FULL = {"unet": {"type": "FullTuner", "component": "unet", "pattern": "attn2"}}
#: Kinds of training, as changes of :func:`config`.
VARIANTS: dict[str, dict[str, Any]] = {
    "LoRA, averaged": {},
    "cross attention, 2 iterations a step, bf16": {
        "model.tuners": FULL,
        "optim_wrapper.accumulative_counts": 2,
        "optim_wrapper.dtype": "bfloat16",
    },
    "LoRA with prior pictures, 1 worker": {
        "train_dataloader.num_workers": 1,
        "train_dataloader.dataset.class_prompt": "a photo of a heart",
        "train_dataloader.dataset.class_data_root": "shapes:scenes",
        "train_dataloader.dataset.num_class_images": 5,
    },
}
#: Checkpoints that are written beside the training; tried in the short form alone.
BESIDE = {"LoRA, averaged, written beside": {"default_hooks.checkpoint.async_write": True}}


@dataclass
class Job:
    """One training in a process of its own.

    Attributes:
        work_dir: where it writes.
        pretrained: folder of the model.
        changes: of the config, by dotted key.
        prepare: called with the runner before it trains.
        rank: of the process.
        world_size: number of processes.
        store: a file by which several processes find each other.
        prints: the file that gets what it prints; None takes ``<work_dir>.log``.
    """

    work_dir: Path
    pretrained: Path
    changes: dict[str, Any] = field(default_factory=dict)
    prepare: Callable[[Runner], None] | None = None
    rank: int = 0
    world_size: int = 1
    store: Path | None = None
    prints: Path | None = None

    @property
    def log(self) -> Path:
        """The file with all that the process prints."""
        return self.prints or Path(f"{self.work_dir}.log{self.rank or ''}")


def small_model(folder: Path) -> Path:
    """Saves a pipeline with random weights, of two levels only, and returns the folder."""
    down, up = ("CrossAttnDownBlock2D", "DownBlock2D"), ("UpBlock2D", "CrossAttnUpBlock2D")
    levels = {"block_out_channels": (8, 16), "down_block_types": down, "up_block_types": up, "layers_per_block": 1}
    return tiny_sd(folder, unet=levels)


def config(work_dir: Path, pretrained: Path, changes: dict[str, Any]) -> Config:
    """A training of a tiny model on five drawn pictures: seconds on one core."""
    cfg = Config(
        {
            "work_dir": str(work_dir),
            "model": {
                "type": "LatentDiffusion",
                "family": {"type": "StableDiffusion"},
                "pretrained": str(pretrained),
                "tuners": LORA,
                "generation": {"num_inference_steps": 1},
            },
            "train_dataloader": {
                "batch_size": 1,
                "num_workers": 0,
                "dataset": {
                    "type": "ConceptDataset",
                    "data_root": "shapes:striped_heart",
                    "instance_prompt": "a photo of a sks heart",
                    "resolution": 32,
                    "caption_dropout": 0.2,
                },
                "sampler": {"type": "DrawSampler"},
                "collate_fn": {"type": collate_samples},
            },
            "train_cfg": {"max_iters": ITERATIONS},
            "optim_wrapper": {
                "type": "OptimWrapper",
                "optimizer": {"type": "AdamW", "lr": 1e-3},
                "clip_grad": {"max_norm": 1.0},
                "max_skipped": 2,
            },
            "param_scheduler": [{"type": "CosineAnnealingLR"}],
            "default_hooks": {
                "checkpoint": {"interval": INTERVAL, "max_keep_ckpts": 2},
                "logger": {"interval": 1},
                "progress": {"interval": 1},
            },
            "custom_hooks": [{"type": "EMAHook", "decay": 0.9}],
            "env_cfg": {"num_threads": 1},
            "randomness": {"seed": 3},
        }
    )
    for key, value in changes.items():
        if isinstance(value, dict) and key == "model.tuners":
            cfg.model.tuners = value
        else:
            cfg.merge_from_dict({key: value})
    return cfg


def train(job: Job, events: Connection | None = None) -> None:
    """Trains; this is what a process of the suite runs."""
    job.log.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(job.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    os.setpgrp()  # a signal may be sent to it and its workers
    faulthandler.dump_traceback_later(HANG)
    cfg = config(job.work_dir, job.pretrained, job.changes)
    if job.world_size > 1:
        _join(job)
        cfg.launcher = "pytorch"
    try:
        runner = Runner.from_cfg(cfg)
        if events is not None:
            _report(runner, events)
        if job.prepare is not None:
            job.prepare(runner)
        runner.train()
    finally:
        faulthandler.cancel_dump_traceback_later()
        sys.stdout.flush()


def _join(job: Job) -> None:
    import torch.distributed as dist

    ranks = {"RANK": job.rank, "WORLD_SIZE": job.world_size, "LOCAL_RANK": job.rank}
    os.environ |= {name: str(value) for name, value in ranks.items()}
    store = dist.FileStore(str(job.store), job.world_size)
    dist.init_process_group("gloo", store=store, rank=job.rank, world_size=job.world_size)


@HOOKS.register_module(force=True)
class Reporter(Hook):
    """Says where a training is."""

    priority = "LOWEST"
    alters_training = False

    def __init__(self, tell: Callable[[str, int], None]) -> None:
        self.tell = tell

    def before_train_epoch(self, runner: Any) -> None:
        """The first step comes next, and signals are caught."""
        self.tell("train", runner.iter)

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        """A step."""
        self.tell("step", runner.iter)

    def after_run(self, runner: Any) -> None:
        """The end."""
        self.tell("end", runner.iter)


def _report(runner: Runner, events: Connection) -> None:
    def tell(kind: str, number: int) -> None:
        os.write(events.fileno(), f"{kind} {number}\n".encode())

    runner.register_hook(Reporter(tell))
    save, on_signal = CheckpointHook.save, Interrupt._on_signal

    def told_save(hook: CheckpointHook, runner: Any) -> Path:
        tell("save", runner.iter)
        folder = save(hook, runner)
        tell("saved", runner.iter)
        return folder

    def told_signal(interrupt: Interrupt, number: int, frame: Any) -> None:
        if os.getpid() == interrupt._process:
            tell("signal", runner.iter)
        on_signal(interrupt, number, frame)

    setattr(CheckpointHook, "save", told_save)  # noqa: B010
    setattr(Interrupt, "_on_signal", told_signal)  # noqa: B010
