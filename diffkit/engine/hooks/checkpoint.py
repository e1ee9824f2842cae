"""When checkpoints are written, and how many are kept."""

from pathlib import Path
from typing import Any

from mmengine.hooks import Hook

from diffkit.engine.best import BestCheckpoint
from diffkit.engine.checkpoint import list_steps, rotate, step_folder
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
        save_best: a metric of the validation, such as ``prompt/sc``. The step folder with its best value is kept beside
            the newest ones; it is written where there is none of that step. ``best.json`` names it.
        save_best_rule: ``greater`` or ``less``; None tells by the metric: FID, KID, losses, errors and LPIPS to a
            reference are the better the less they are.
        async_write: trains on while a checkpoint is written. The exports are written, and the state is copied in the
            memory of the host, at once; the rest is done beside the next steps. One checkpoint at most is written so:
            the next one waits for it, and the last one of a training is waited for. What goes wrong ends the training
            with the same error, at the next step; with several processes at the next checkpoint.
    """

    priority = "VERY_LOW"
    alters_training = False

    def __init__(self, interval: int = 500, max_keep_ckpts: int = -1, save_best: str | None = None,
                 save_best_rule: str | None = None, async_write: bool = False) -> None:
        for name, value in (("interval", interval), ("max_keep_ckpts", max_keep_ckpts)):
            if not isinstance(value, int) or (value < 1 and value != -1):
                raise ValueError(f"{name} must be -1 or an integer of at least 1, given {value!r}")
        self.interval = interval
        self.max_keep_ckpts = max_keep_ckpts
        self.async_write = async_write
        self.best = None if save_best is None else BestCheckpoint(save_best, save_best_rule)
        self._metrics: dict[str, Any] = {}
        self._written: int | None = None  # the step that this training wrote last

    def before_train(self, runner: Any) -> None:
        """Refuses to start without room for the first checkpoint; tells of another training's checkpoints.

        Raises:
            ValueError: the best checkpoint shall be kept, and nothing is validated.
        """
        if self.best is not None:
            if runner.val_loop is None:
                raise ValueError("default_hooks.checkpoint.save_best needs a validation: give val_dataloader, val_cfg "
                                 "and val_evaluator")
            if runner.iter > 0:
                self.best.load(runner.work_dir, runner.iter)
        if runner.rank != 0:
            return
        if self.best is not None and runner.iter == 0:
            self.best.forget(runner.work_dir)
        require_room(runner)
        steps = list_steps(runner.work_dir)
        if steps and runner.iter == 0:
            runner.logger.warning(
                f"{runner.work_dir} holds {len(steps)} checkpoints of an earlier training, up to "
                f"{steps[-1][1].name}: this one starts anew and replaces those that it reaches (--resume goes on)"
            )

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Saves if the iteration is one of those; raises what went wrong with the one that is being written."""
        work = runner.saving and runner.saving[0]
        if work is not None and work.failed and runner.world_size == 1:
            runner.finish_saving()
        due = self.interval > 0 and (runner.iter + 1) % self.interval == 0
        if due or runner.train_loop.is_last:
            self.save(runner)

    def after_train(self, runner: Any) -> None:
        """Waits for a checkpoint that is still being written."""
        runner.finish_saving()

    def after_val_epoch(self, runner: Any, metrics: dict[str, Any] | None = None) -> None:
        """Remembers the metrics; the weights are averaged at this moment, and no checkpoint can be written."""
        self._metrics = dict(metrics or {})

    def after_validation(self, runner: Any) -> None:
        """Keeps the checkpoint of the last iteration done, if its metric is the best so far."""
        if self.best is None or not self.best.improved_by(self._metrics):
            return
        step = runner.iter - 1
        if self._written != step:  # a folder of this name may be another training's
            runner.train_loop.start_at(step)  # a checkpoint is named after the iteration that has just run
            try:
                runner.save_step()
            finally:
                runner.train_loop.start_at(step + 1)
            self._written = step
        runner.finish_saving()  # the record names no checkpoint that is not there
        if runner.rank == 0:
            self.best.keep(runner.work_dir, step, self._metrics[self.best.metric])
            runner.logger.info(f"Best {self.best.metric} so far ({self.best.rule} is better): {self.best.value:.6g}, "
                               f"step{step}.")
        else:
            self.best.step, self.best.value = step, float(self._metrics[self.best.metric])

    def save(self, runner: Any) -> Path:
        """Writes the checkpoint and removes the ones that are too many; all processes must call it.

        Returns:
            Its folder; with ``async_write`` it may not be there yet.
        """
        best = None if self.best is None else self.best.step
        folder = step_folder(runner.work_dir, runner.iter)
        background = self.async_write and not runner.train_loop.is_last
        runner.save_step(background, lambda: self._rotate(runner, folder, best))
        self._written = runner.iter
        return folder

    def _rotate(self, runner: Any, folder: Path, best: int | None) -> None:
        """Removes what is too many now that ``folder`` stands."""
        spared = None if best is None else step_folder(runner.work_dir, best)
        removed = rotate(runner.work_dir, self.max_keep_ckpts, folder, spared)
        gone = f"; removed {', '.join(path.name for path in removed)}" if removed else ""
        runner.logger.info(f"Saved {folder} ({format_bytes(folder_size(folder))}){gone}.")

    def preflight(self, runner: Any) -> list[tuple[str, str]]:
        """Lines for the table before the training: the disk that its checkpoints need."""
        left = runner.max_iters - runner.iter
        count = 1 if self.interval < 1 else -(-left // self.interval)
        if self.max_keep_ckpts > 0:
            count = min(count, self.max_keep_ckpts + 1)  # the new one is whole before the oldest goes
        count += self.best is not None
        size, free = checkpoint_bytes(runner), free_bytes(runner.work_dir)
        text = f"about {format_bytes(count * size)} for {count} checkpoints at once, {format_bytes(free)} free"
        warning = "  <-- TOO LITTLE: set max_keep_ckpts or make room" if count * size > free else ""
        return [("disk", text + warning)]
