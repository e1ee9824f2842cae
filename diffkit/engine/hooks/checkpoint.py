"""When checkpoints are written, and how many are kept."""

from pathlib import Path
from typing import Any

from mmengine.hooks import Hook

from diffkit.engine.checkpoint import list_steps, rotate
from diffkit.engine.disk import checkpoint_bytes, require_room
from diffkit.engine.files import folder_size, format_bytes, free_bytes
from diffkit.registry import HOOKS


@HOOKS.register_module()
class CheckpointHook(Hook):
    """Writes ``work_dir/step<N>`` at an interval, after the last iteration, and when a signal stops it.

    N is the last iteration done, counted from 0: 1000 iterations end with ``step999``.

    Args:
        interval: iterations from one checkpoint to the next, at least 1; -1 writes only the last one.
        max_keep_ckpts: how many to keep, the newest; -1 keeps all. Exports lie in the same folders and go
            with them.
    """

    priority = "VERY_LOW"
    alters_training = False

    def __init__(self, interval: int = 500, max_keep_ckpts: int = -1) -> None:
        for name, value in (("interval", interval), ("max_keep_ckpts", max_keep_ckpts)):
            if not isinstance(value, int) or (value < 1 and value != -1):
                raise ValueError(f"{name} must be -1 or an integer of at least 1, given {value!r}")
        self.interval = interval
        self.max_keep_ckpts = max_keep_ckpts

    def before_train(self, runner: Any) -> None:
        """Refuses to start without room for the first checkpoint; tells of another training's checkpoints."""
        if runner.rank != 0:
            return
        require_room(runner)
        steps = list_steps(runner.work_dir)
        if steps and runner.iter == 0:
            runner.logger.warning(
                f"{runner.work_dir} holds {len(steps)} checkpoints of an earlier training, up to "
                f"{steps[-1][1].name}: this one starts anew and replaces those that it reaches (--resume goes on)"
            )

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Saves if the iteration is one of those."""
        due = self.interval > 0 and (runner.iter + 1) % self.interval == 0
        if due or runner.train_loop.is_last:
            self.save(runner)

    def save(self, runner: Any) -> Path:
        """Writes the checkpoint and removes the ones that are too many; all processes must call it."""
        folder: Path = runner.save_step()
        if runner.rank == 0:
            removed = rotate(runner.work_dir, self.max_keep_ckpts, folder)
            gone = f"; removed {', '.join(path.name for path in removed)}" if removed else ""
            runner.logger.info(f"Saved {folder} ({format_bytes(folder_size(folder))}){gone}.")
        return folder

    def preflight(self, runner: Any) -> list[tuple[str, str]]:
        """Lines for the table before the training: the disk that its checkpoints need."""
        left = runner.max_iters - runner.iter
        count = 1 if self.interval < 1 else -(-left // self.interval)
        if self.max_keep_ckpts > 0:
            count = min(count, self.max_keep_ckpts + 1)  # the new one is whole before the oldest goes
        size, free = checkpoint_bytes(runner), free_bytes(runner.work_dir)
        text = f"about {format_bytes(count * size)} for {count} checkpoints at once, {format_bytes(free)} free"
        warning = "  <-- TOO LITTLE: set max_keep_ckpts or make room" if count * size > free else ""
        return [("disk", text + warning)]
