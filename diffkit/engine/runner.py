"""The runner: MMEngine's, with checkpoints and resuming of its own, and nothing left to chance."""

import copy
import inspect
import itertools
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import OptimWrapper as MMOptimWrapper
from mmengine.optim import build_optim_wrapper
from mmengine.runner import BaseLoop
from mmengine.runner import Runner as MMRunner
from torch import nn

from diffkit.engine import checkpointing
from diffkit.engine.environment import apply_environment, describe_environment
from diffkit.engine.lock import WorkDirLock
from diffkit.engine.logs import log_to_file, quieten
from diffkit.engine.optim_constructor import TrainableConstructor, unwrap
from diffkit.engine.seeding import derive_seed, seed_everything
from diffkit.registry import RUNNERS

_runs = itertools.count()

DEFAULT_HOOKS: dict[str, dict[str, Any]] = {
    "runtime_info": {"type": "RuntimeInfoHook"},
    "timer": {"type": "IterTimerHook"},
    "logger": {"type": "LoggerHook", "interval": 10},
    "param_scheduler": {"type": "diffkit.ParamSchedulerHook"},
    "checkpoint": {"type": "diffkit.CheckpointHook", "interval": 500},
    "preflight": {"type": "diffkit.PreflightHook"},
    "progress": {"type": "diffkit.ProgressHook"},
}


@RUNNERS.register_module(name="DiffkitRunner")
class Runner(MMRunner):
    """Trains and tests what a config describes.

    It takes the arguments of MMEngine's runner, and these:

    Args:
        resume: True or ``'auto'`` goes on from the newest valid checkpoint of the work folder (from nothing if there
            is none), a path from that checkpoint. False starts anew.
        resume_allow_change: goes on even if the config has changed in what alters the mathematics.
        scale_lr: multiplies the learning rate by accumulation, batch size and number of processes, and prints that.
        **options: see ``mmengine.runner.Runner``. ``env_cfg`` takes ``allow_tf32`` (bool) and ``num_threads`` (int)
            too. ``randomness.seed`` is 0 unless given.
    """

    def __init__(self, model: nn.Module | dict[str, Any], work_dir: str, *, resume: bool | str = False,
                 resume_allow_change: bool = False, scale_lr: bool = False, **options: Any) -> None:
        self._wants_scaled_lr = scale_lr
        self.resume_allow_change = resume_allow_change
        self.resume_from = resume
        self._lock = WorkDirLock(work_dir)
        options["randomness"] = {"seed": 0} | dict(options.get("randomness") or {})
        options["default_scope"] = options.get("default_scope") or "diffkit"
        options.setdefault("env_cfg", {})
        super().__init__(model, work_dir, resume=bool(resume), **options)

    @classmethod
    def from_cfg(cls, cfg: Config | dict[str, Any]) -> "Runner":
        """Builds a runner from a config; each argument of the runner is a key of it."""
        cfg = copy.deepcopy(cfg)
        own = [name for name in inspect.signature(cls.__init__).parameters if name not in ("self", "options")]
        names = [*own, *list(inspect.signature(MMRunner.__init__).parameters)[1:]]
        return cls(**{name: cfg[name] for name in dict.fromkeys(names) if name in cfg and name != "cfg"}, cfg=cfg)

    # -- building -----------------------------------------------------------------------------------------------------

    def setup_env(self, env_cfg: dict[str, Any]) -> None:
        """Sets threads, TF32 and processes; gives every run of this process its own name."""
        apply_environment(env_cfg)
        super().setup_env({key: value for key, value in env_cfg.items() if key not in ("allow_tf32", "num_threads")})
        number = next(_runs)
        while number or os.path.exists(os.path.join(self.work_dir, self._timestamp)):
            self._timestamp = f"{self._timestamp.split('.')[0]}.{number}"
            if not os.path.exists(os.path.join(self.work_dir, self._timestamp)) or self._rank:
                break
            number += 1

    def build_logger(self, *args: Any, **kwargs: Any) -> Any:
        """MMEngine's logger, with a readable console."""
        logger = super().build_logger(*args, **kwargs)
        quieten(logger)
        return logger

    def build_log_processor(self, log_processor: Any) -> Any:
        """MMEngine's log processor; it counts iterations unless told otherwise."""
        if isinstance(log_processor, dict):
            log_processor = {"by_epoch": False} | dict(log_processor)
        return super().build_log_processor(log_processor)

    def build_model(self, model: nn.Module | dict[str, Any]) -> nn.Module:
        """Builds the model from the seed alone, the same in all processes."""
        seed_everything(derive_seed(self.seed, "model"))
        return super().build_model(model)

    def wrap_model(self, model_wrapper_cfg: dict[str, Any] | None, model: nn.Module) -> nn.Module:
        """Moves the model to its device and, with several processes, lets them share gradients."""
        if not self.distributed or model_wrapper_cfg is not None:
            return super().wrap_model(model_wrapper_cfg, model)
        model = model.to(f"cuda:{os.environ['LOCAL_RANK']}" if torch.cuda.is_available() else "cpu")
        return MMDistributedDataParallel(
            module=model, device_ids=[int(os.environ["LOCAL_RANK"])] if torch.cuda.is_available() else None,
            broadcast_buffers=False, find_unused_parameters=bool(self.cfg.get("find_unused_parameters", False)))

    def build_optim_wrapper(self, optim_wrapper: Any) -> MMOptimWrapper:
        """Builds the optimizer over the trained parameters."""
        if isinstance(optim_wrapper, MMOptimWrapper):
            return optim_wrapper
        return build_optim_wrapper(self.model, {"constructor": TrainableConstructor} | dict(optim_wrapper))

    def scale_lr(self, optim_wrapper: MMOptimWrapper, auto_scale_lr: dict[str, Any] | None = None) -> None:
        """Scales the learning rates if the config says ``scale_lr=True``, and prints the formula."""
        if auto_scale_lr:
            raise ValueError("auto_scale_lr is not supported; set scale_lr=True: lr x accumulation x batch x processes")
        if not self._wants_scaled_lr:
            return
        counts, batch = optim_wrapper.accumulative_counts, self.train_dataloader.batch_size
        factor = counts * batch * self.world_size
        before = optim_wrapper.optimizer.param_groups[0]["lr"]
        for group in optim_wrapper.param_groups:
            group["lr"] *= factor
        self.logger.info(f"scale_lr: {before:g} x {counts} (accumulation) x {batch} (batch) x {self.world_size} "
                         f"(processes) = {before * factor:g}")

    def optimizer_steps(self) -> int:
        """Optimizer steps of the whole training."""
        return -(-self.max_iters // self.optim_wrapper.accumulative_counts)

    def _build_param_scheduler(self, scheduler: Any, optim_wrapper: MMOptimWrapper) -> list[Any]:
        """Schedules count optimizer steps; one without an end goes to the end of the training."""
        items = scheduler if isinstance(scheduler, (list, tuple)) else [scheduler]
        completed = []
        for item in items:
            if isinstance(item, dict):
                if item.get("by_epoch"):
                    raise ValueError("param_scheduler.by_epoch=True is not supported: schedules count optimizer steps")
                item = {"end": self.optimizer_steps()} | dict(item) | {"by_epoch": False}
            completed.append(item)
        return super()._build_param_scheduler(completed, optim_wrapper)

    def register_default_hooks(self, hooks: dict[str, Any] | None = None) -> None:
        """Registers the default hooks; a config may replace each, switch it off by None, or set its arguments."""
        chosen: dict[str, Any] = copy.deepcopy(DEFAULT_HOOKS)
        for name, hook in (hooks or {}).items():
            if isinstance(hook, dict) and "type" not in hook and name in chosen:
                chosen[name].update(hook)
            else:
                chosen[name] = hook
        for hook in chosen.values():
            if hook is not None:
                self.register_hook(hook)

    def _init_model_weights(self) -> None:
        """Does nothing: weights are loaded or made when the model is built."""

    def _log_env(self, env_cfg: dict[str, Any]) -> None:
        log_to_file(self.logger, describe_environment())
        if self.cfg:
            log_to_file(self.logger, f"Config:\n{self.cfg.pretty_text}")

    def dump_config(self) -> None:
        """Writes the config beside the logs of this run; ``train`` writes it to the work folder too."""
        if self.rank == 0 and self.cfg:
            self.cfg.dump(os.path.join(self.log_dir, "config.py"))

    # -- running ------------------------------------------------------------------------------------------------------

    def train(self) -> nn.Module:
        """Trains to the end.

        Returns:
            The model.

        Raises:
            WorkDirBusyError: another training uses the work folder.
            ResumeError: the checkpoint to go on from does not fit.
            SystemExit: 130 or 143 after SIGINT or SIGTERM; a checkpoint has been written then.
        """
        if self._train_loop is None:
            raise ValueError("train_cfg, train_dataloader and optim_wrapper must be given to train")
        with self._only_run():
            self._build_for_training()
            self.call_hook("before_run")
            self.load_or_resume()
            self.optim_wrapper.initialize_count_status(self.model, self.iter, self.max_iters)
            self._maybe_compile("train_step")
            self.train_loop.run()
            self.call_hook("after_run")
        signal = self.train_loop.interrupt.signal
        if signal is not None:
            self.logger.info(f"Stopped by signal {signal} after iteration {self.iter - 1}; resume goes on from there.")
            raise SystemExit(128 + signal)
        return self.model

    def _build_for_training(self) -> None:
        seed_everything(derive_seed(self.seed, "data"))
        self._train_loop = self.build_train_loop(self._train_loop)
        self.optim_wrapper = self.build_optim_wrapper(self.optim_wrapper)
        self.scale_lr(self.optim_wrapper, self.auto_scale_lr)
        if self.param_schedulers is not None:
            self.param_schedulers = self.build_param_scheduler(self.param_schedulers)
        if self._val_loop is not None:
            self._val_loop = self.build_val_loop(self._val_loop)

    @contextmanager
    def _only_run(self) -> Iterator[None]:
        if self.rank == 0:
            self._lock.acquire()
        try:
            if self.rank == 0 and self.cfg:
                self.cfg.dump(os.path.join(self.work_dir, self._config_name()))
            yield
        finally:
            self._lock.release()

    def _config_name(self) -> str:
        return os.path.basename(self.cfg.filename) if self.cfg.filename else "config.py"

    def build_train_loop(self, loop: Any) -> BaseLoop:
        """Builds the train loop, by default a ``StepLoop``."""
        if isinstance(loop, dict) and "type" not in loop:
            loop = {"type": "diffkit.StepLoop"} | dict(loop)
        return super().build_train_loop(loop)

    # -- checkpoints --------------------------------------------------------------------------------------------------

    @property
    def bare_model(self) -> Any:
        """The model without what wraps it for several processes."""
        return unwrap(self.model)

    @contextmanager
    def averaged_weights(self) -> Iterator[None]:
        """Inside the body the model has the averaged weights, if a hook averages; samples and exports use it."""
        with ExitStack() as stack:
            for hook in self.hooks:
                if hasattr(hook, "swapped"):
                    stack.enter_context(hook.swapped())
            yield

    def save_step(self) -> Path:
        """Writes the checkpoint of the iteration that has just run, ``work_dir/step<N>``; all processes must call it."""
        return checkpointing.save(self, Path(self.work_dir) / f"step{self.iter}")

    def save_checkpoint(self, out_dir: str | Path, filename: str, **_: Any) -> Path:
        """Writes a checkpoint folder where MMEngine's hooks would write a pickle (``iter_10.pth`` -> ``iter_10/``)."""
        return checkpointing.save(self, Path(out_dir) / filename.removesuffix(".pth"))

    def load_or_resume(self) -> None:
        """Goes on from a checkpoint, or takes the trained weights of one, as the config says; once."""
        if self._has_loaded:
            return
        self._has_loaded = True
        if self.resume_from:
            checkpointing.resume(self, self.resume_from)
        elif self._load_from is not None:
            self.load_checkpoint(self._load_from)

    def resume(self, filename: str | Path, **_: Any) -> None:
        """Goes on from the checkpoint ``filename``."""
        checkpointing.resume(self, str(filename))
        self._has_loaded = True

    def load_checkpoint(self, filename: str | Path, **_: Any) -> None:
        """Takes the trained weights of a checkpoint, the averaged ones if it has them; the optimizer starts anew."""
        checkpointing.load_weights(self, Path(filename))
        self._has_loaded = True
