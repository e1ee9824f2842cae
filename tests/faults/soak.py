"""A long training: memory and open files stay as they are."""

import json
import os
from pathlib import Path
from typing import Any

from mmengine.hooks import Hook

from tests.engine.processes import PATIENCE
from tests.faults.training import Job
from tests.faults.trial import complete, forget

WARM_UP = 0.2  # share of the training after which nothing may grow
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Watch(Hook):
    """Writes down memory and open files after each tenth of the training, sampling included."""

    priority = "LOWEST"
    alters_training = False

    def __init__(self, file: Path, every: int) -> None:
        self.file = file
        self.every = every

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        """At the beginning of the next step, when the one before has let go of everything."""
        if runner.iter % self.every == 1:
            resident = int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE
            row = {"iteration": runner.iter, "bytes": resident, "files": len(os.listdir("/proc/self/fd"))}
            with self.file.open("a") as file:
                file.write(json.dumps(row) + "\n")


def watch(runner: Any) -> None:
    """Looks 20 times."""
    file = Path(f"{runner.work_dir}.rows")
    runner.register_hook(Watch(file, runner.max_iters // 20))


def soak_trial(iterations: int, work: Path, pretrained: Path) -> dict[str, Any]:
    """Trains for long, with ten samplings and ten checkpoints.

    Returns:
        ``rows``: what was seen; ``growth``: of the memory after the warm-up, as a share; ``files``: the counts of open
        files after it.
    """
    tenth = iterations // 10
    changes = {
        "train_cfg.max_iters": iterations,
        "default_hooks.checkpoint.interval": tenth,
        "default_hooks.logger.interval": 10,
        "default_hooks.progress.interval": tenth,
        "custom_hooks": [
            {"type": "EMAHook", "decay": 0.9},
            {"type": "SampleHook", "prompts": ["a heart", "a dog"], "interval": tenth},
        ],
    }
    job = Job(work / "soak", pretrained, changes, watch)
    forget(job)
    file = Path(f"{job.work_dir}.rows")
    file.unlink(missing_ok=True)
    complete(job, PATIENCE + iterations)
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    warm = [row for row in rows if row["iteration"] > WARM_UP * iterations]
    growth = max(row["bytes"] for row in warm) / warm[0]["bytes"] - 1
    return {"iterations": iterations, "rows": rows, "growth": growth, "files": sorted({row["files"] for row in warm}),
            "samplings": len(list((job.work_dir / "samples").glob("step??????.png"))) - 1}
