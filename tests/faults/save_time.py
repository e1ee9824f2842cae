"""How long a checkpoint holds up a training, on the configs of the miniature."""

import statistics
import time
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.hooks import Hook

from diffkit.engine import Runner
from tests.engine.processes import PATIENCE, context

INTERVAL = 100  # iterations from one save to the next, for which the share is given
SAVES, BETWEEN = 3, 8  # saves of a measurement, and iterations before each


class Clock(Hook):
    """Takes the time of each step without what hooks do at its end."""

    priority = "VERY_HIGH"
    alters_training = False

    def __init__(self) -> None:
        self.steps: list[float] = []
        self.saves: list[float] = []
        self._begin = 0.0

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        """A step begins."""
        self._begin = time.perf_counter()

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """It ends."""
        self.steps.append(time.perf_counter() - self._begin)


def configs() -> list[str]:
    """The configs of the miniature that train it on something, by name; but those that need another one first."""
    from diffkit.apis.configs import shipped_folder

    folders = [folder for folder in shipped_folder("configs").iterdir() if folder.name not in ("_base_", "miniature")]
    paths = [path for folder in folders for path in folder.glob("mini_*.py")]
    return sorted(path.stem for path in paths if "work_dirs/" not in path.read_text(encoding="utf-8"))


def measure(name: str, work: Path, result: Any) -> None:
    """Trains some iterations of a shipped config and sends the times; this is what the process runs."""
    from diffkit.apis.configs import load_config

    options = {
        "train_cfg.max_iters": SAVES * BETWEEN,
        "default_hooks.checkpoint.interval": BETWEEN,
        "default_hooks.checkpoint.max_keep_ckpts": 2,
        "env_cfg.num_threads": 1,
    }
    cfg = load_config(name, work_dir=work / name, cfg_options=options)
    cfg.custom_hooks = [hook for hook in cfg.get("custom_hooks", []) if "Sample" not in str(hook["type"])]
    result.send(_times(cfg))


def _times(cfg: Config) -> dict[str, list[float]]:
    runner, clock = Runner.from_cfg(cfg), Clock()
    runner.register_hook(clock)
    hook = next(hook for hook in runner.hooks if hasattr(hook, "max_keep_ckpts"))
    save = hook.save

    def timed(runner: Any) -> Path:
        begin = time.perf_counter()
        folder = save(runner)
        clock.saves.append(time.perf_counter() - begin)
        return folder

    hook.save = timed
    runner.train()
    return {"steps": clock.steps, "saves": clock.saves}


def save_time_trial(name: str, work: Path) -> dict[str, Any]:
    """Measures one config.

    Returns:
        ``step`` and ``save``: medians in seconds of wall time; ``share``: of the training that saves take at an
        interval of ``INTERVAL`` iterations; ``bytes`` of a checkpoint.
    """
    from diffkit.engine.files import folder_size

    reader, writer = context().Pipe(duplex=False)
    process = context().Process(target=measure, args=(name, work, writer))
    process.start()
    writer.close()
    try:
        times = reader.recv() if reader.poll(2 * PATIENCE) else None
    except EOFError:
        times = None
    process.join()
    if times is None:
        raise AssertionError(f"{name} was not measured: exit status {process.exitcode}")
    step, save = statistics.median(times["steps"]), statistics.median(times["saves"])
    return {"step": step, "save": save, "share": save / (INTERVAL * step + save), **times,
            "bytes": folder_size(work / name / f"step{SAVES * BETWEEN - 1}")}
