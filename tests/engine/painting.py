"""A model that paints in no time, or slowly, and tests with it in processes of their own."""

import faulthandler
import json
import os
import time
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.evaluator import BaseMetric

from diffkit.engine import Runner
from diffkit.registry import METRICS, MODELS
from tests.engine.fakes import FakeModel, make_config
from tests.engine.processes import PATIENCE

PROMPTS = [f"picture {number}" for number in range(7)]


@MODELS.register_module(force=True)
class PaintingModel(FakeModel):
    """Each picture follows from its prompt, its seed and the weights. What was painted is in the file ``log``.

    Args:
        log: a line for each picture is written to it.
        seconds: how long a picture takes.
    """

    def __init__(self, log, seconds=0.0):
        super().__init__()
        self.log, self.seconds = log, seconds

    def forward(self, prompt, seed, mode="loss", **_):
        return [{"image": self._paint(text, number)} for text, number in zip(prompt, seed.tolist(), strict=True)]

    def _paint(self, text, number):
        time.sleep(self.seconds)
        with open(self.log, "a") as file:
            file.write(f"{text}\n")
        noise = torch.randint(0, 200, (8, 8, 3), generator=torch.Generator().manual_seed(number))
        return (noise + len(text) + float(self.net[0].weight.detach().abs().mean())).to(torch.uint8).numpy()


@METRICS.register_module(force=True)
class MeanLevel(BaseMetric):
    """The mean level of all pictures, and their number."""

    default_prefix = "fake"

    def process(self, data_batch, data_samples):
        self.results += [float(np.mean(sample["image"])) for sample in data_samples]

    def compute_metrics(self, results):
        return {"mean": float(np.mean(results)), "n": len(results)}


def config_of(work_dir, log, seconds=0.0, batch_size=2):
    """The config of a test that keeps its pictures in ``work_dir/kept``."""
    loader = {"batch_size": batch_size, "num_workers": 0, "collate_fn": {"type": "diffkit.collate_samples"},
              "dataset": {"type": "PromptDataset", "prompts": PROMPTS, "seed": 3},
              "sampler": {"type": "DefaultSampler", "shuffle": False}}
    cfg = make_config(work_dir, model={"type": "PaintingModel", "log": str(log), "seconds": seconds},
                      test_dataloader=loader, test_cfg={"type": "PictureLoop", "out": str(Path(work_dir) / "kept")},
                      test_evaluator={"type": "MeanLevel"})
    for key in ("train_dataloader", "train_cfg", "optim_wrapper", "param_scheduler"):
        cfg.pop(key)
    return Config(cfg)


def measure(work_dir, log, rank=0, world_size=1, **options):
    """Runs the test, as one of several processes; the metrics are in ``work_dir/metrics<rank>.json``."""
    faulthandler.dump_traceback_later(PATIENCE - 10)
    cfg = config_of(work_dir, log, **options)
    if world_size > 1:
        import torch.distributed as dist

        os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(world_size), "LOCAL_RANK": str(rank)}
        store = dist.FileStore(f"{work_dir}.store", world_size)
        dist.init_process_group("gloo", store=store, rank=rank, world_size=world_size)
        cfg.launcher = "pytorch"
    os.chdir(Path(log).parent)  # MMEngine exchanges results in the current folder
    metrics = Runner.from_cfg(cfg).test()
    Path(work_dir, f"metrics{rank}.json").write_text(json.dumps(metrics))
    faulthandler.cancel_dump_traceback_later()
