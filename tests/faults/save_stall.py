"""How long a checkpoint holds up the steps, with ``async_write`` and without: ``python -m tests.faults.save_stall``.

A model with 9 million trained weights and as many averages, Adam's two values for each, and no export: 144 MB. Saves of
both kinds take turns in trainings of their own. Stalls are given by the clock and in seconds of the processor that the
training's thread worked; both as medians with the least and the greatest, and the time of the processor counts on a
machine that does other things too.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from mmengine.config import Config

from diffkit.apis.measure import report
from diffkit.engine import Runner
from tests.engine.fakes import make_config

WIDTH, SAVES, BETWEEN = 3000, 3, 4  # of a layer; saves of a training but for the last one; iterations before each


def main() -> None:
    """Measures and prints a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pairs", type=int, default=5, help="trainings of each kind (default: %(default)s)")
    args = parser.parse_args()
    stalls: dict[bool, list[tuple[float, float]]] = {False: [], True: []}
    with tempfile.TemporaryDirectory() as folder:
        for pair in range(args.pairs):
            for asynchronous in (False, True):
                stalls[asynchronous] += measure(Path(folder) / f"{pair}{asynchronous}", asynchronous)
    print(table(stalls))


def measure(work_dir: Path, asynchronous: bool, width: int = WIDTH) -> list[tuple[float, float]]:
    """The stalls of one training but for its last save, which is waited for: seconds by the clock and of the thread."""
    runner = Runner.from_cfg(config(work_dir, asynchronous, width))
    hook = next(hook for hook in runner.hooks if hasattr(hook, "max_keep_ckpts"))
    save, found = hook.save, []

    def timed(runner: Any) -> Path:
        clock, thread = time.perf_counter(), time.thread_time()
        folder: Path = save(runner)
        found.append((time.perf_counter() - clock, time.thread_time() - thread))
        return folder

    hook.save = timed
    runner.train()
    return found[:-1]


def config(work_dir: Path, asynchronous: bool, width: int) -> Config:
    """A training of one wide layer."""
    cfg = Config(make_config(work_dir, (SAVES + 1) * BETWEEN))
    cfg.merge_from_dict({
        "model.width": width, "train_dataloader.dataset.width": width, "custom_hooks": [{"type": "EMAHook"}],
        "default_hooks.checkpoint": {"interval": BETWEEN, "async_write": asynchronous, "max_keep_ckpts": 1}})
    return cfg


def table(stalls: dict[bool, list[tuple[float, float]]]) -> str:
    """The stalls as Markdown."""
    rows = [("async_write" if asynchronous else "waits", str(len(found)), *(
        f"{statistics.median(times):.3f} ({min(times):.3f} to {max(times):.3f})" for times in zip(*found, strict=True)))
        for asynchronous, found in stalls.items()]
    head = ("checkpoint", "saves", "seconds by the clock", "seconds of the thread")
    return f"{report.table(head, rows)}\n{report.footer(report.about('python -m tests.faults.save_stall'))}"


if __name__ == "__main__":
    main()
