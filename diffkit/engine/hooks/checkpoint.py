"""When checkpoints are written, and how many are kept."""

from pathlib import Path
from typing import Any

from mmengine.hooks import Hook

from diffkit.engine.checkpoint import folder_size, format_bytes, rotate, step_folder
from diffkit.registry import HOOKS


@HOOKS.register_module()
class CheckpointHook(Hook):
    """Writes ``work_dir/step<N>`` at an interval, after the last iteration, and when a signal stops the training.

    Args:
        interval: iterations from one checkpoint to the next, at least 1; -1 writes only the last one.
        max_keep_ckpts: how many to keep, the newest; -1 keeps all. Exports lie in the same folders and go with them.
    """

    priority = "VERY_LOW"

    def __init__(self, interval: int = 500, max_keep_ckpts: int = -1) -> None:
        for name, value in (("interval", interval), ("max_keep_ckpts", max_keep_ckpts)):
            if not isinstance(value, int) or (value < 1 and value != -1):
                raise ValueError(f"{name} must be -1 or an integer of at least 1, given {value!r}")
        self.interval = interval
        self.max_keep_ckpts = max_keep_ckpts
        self.last_saved: Path | None = None

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Saves if the iteration is one of those."""
        due = self.interval > 0 and (runner.iter + 1) % self.interval == 0
        if due or runner.train_loop.is_last:
            self.save(runner)

    def save(self, runner: Any) -> Path:
        """Writes the checkpoint and removes the ones that are too many."""
        folder = runner.save_step()
        self.last_saved = folder
        if runner.rank == 0:
            removed = rotate(runner.work_dir, self.max_keep_ckpts, step_folder(runner.work_dir, runner.iter))
            gone = f"; removed {', '.join(path.name for path in removed)}" if removed else ""
            runner.logger.info(f"Saved {folder} ({format_bytes(folder_size(folder))}){gone}.")
        return folder
