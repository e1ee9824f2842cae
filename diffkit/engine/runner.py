"""The runner: MMEngine's, with checkpoints and resuming of its own, and nothing left to chance."""

import copy
import inspect
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import OptimWrapper as MMOptimWrapper
from mmengine.optim import build_optim_wrapper
from mmengine.runner import BaseLoop
from mmengine.runner import Runner as MMRunner
from torch import nn
from torch.utils.data import DataLoader

from diffkit.datasets.bucket_sampler import fill_batches
from diffkit.engine import checkpointing
from diffkit.engine.background import BackgroundWork
from diffkit.engine.checkpoint import clean_leftovers
from diffkit.engine.defaults import complete_hooks, complete_schedules
from diffkit.engine.environment import (
    apply_environment,
    describe_environment,
    lost_processes_explained,
    unused_run_name,
)
from diffkit.engine.files import is_disk_full, replace_text
from diffkit.engine.lock import WorkDirLock
from diffkit.engine.logs import log_to_file, quieten
from diffkit.engine.optim_constructor import TrainableConstructor, scale_learning_rates, unwrap
from diffkit.engine.plain_config import plain_config
from diffkit.engine.resume_checks import once
from diffkit.engine.seeding import derive_seed, seed_everything
from diffkit.engine.sharding import is_sharding, shard, whole_state, whole_weights
from diffkit.engine.trackers import guard_trackers
from diffkit.engine.visualizer import without_figure
from diffkit.registry import RUNNERS


@RUNNERS.register_module(name="DiffkitRunner")
class Runner(MMRunner):
    """Trains and tests what a config describes.

    It takes the arguments of MMEngine's runner. In a config they are keys of the top level.

    Args:
        model: a model, or the dict of a config that builds one.
        work_dir: folder of everything that a run writes; it is made where it is not there.
        resume: True or ``'auto'`` goes on from the newest valid checkpoint of the work folder (from nothing
            if there is none), or from ``load_from`` if that is given; a path goes on from that checkpoint.
            False starts anew.
        resume_allow_change: goes on even if the config has changed in what alters the mathematics.
        scale_lr: multiplies the learning rates by accumulation, batch size and number of processes, and
            prints that. ``'with_prior'`` counts a prior picture beside each instance too, so twice as much, as the
            programs of Custom Diffusion do.
        **options: see ``mmengine.runner.Runner``. ``env_cfg`` takes ``allow_tf32`` (bool) and
            ``num_threads`` (int) too. ``randomness.seed`` is 0 unless given. ``load_from`` is a checkpoint
            whose trained weights are taken.
    """

    optim_wrapper: Any
    param_schedulers: Any
    _train_loop: Any
    _val_loop: Any
    _timestamp: str
    _has_loaded: bool

    def __init__(
        self,
        model: nn.Module | dict[str, Any],
        work_dir: str,
        *,
        resume: bool | str = False,
        resume_allow_change: bool = False,
        scale_lr: Literal[False, True, "with_prior"] = False,
        **options: Any,
    ) -> None:
        if scale_lr not in (False, True, "with_prior"):
            raise ValueError(f"scale_lr must be True, False or 'with_prior', given {scale_lr!r}")
        self._wants_scaled_lr = scale_lr
        self.resume_allow_change = resume_allow_change
        self.resume_from = resume
        self.saving: tuple[BackgroundWork | None, Path] | None = None  # what is written beside the training
        self._lock = WorkDirLock(work_dir)
        options["randomness"] = {"seed": 0} | dict(options.get("randomness") or {})
        options["default_scope"] = options.get("default_scope") or "diffkit"
        options["env_cfg"] = options.get("env_cfg") or {}
        super().__init__(model, work_dir, resume=bool(resume), **options)

    @classmethod
    def from_cfg(cls, cfg: Config | dict[str, Any]) -> "Runner":
        """Builds a runner from a config; each argument of the runner is a key of it."""
        cfg = copy.deepcopy(cfg)
        names = {
            *inspect.signature(cls.__init__).parameters,
            *inspect.signature(MMRunner.__init__).parameters,
        }
        names -= {"self", "options", "cfg"}
        return cls(**{name: cfg[name] for name in sorted(names) if name in cfg}, cfg=plain_config(cfg))

    def setup_env(self, env_cfg: dict[str, Any]) -> None:
        """Sets threads, TF32 and processes, and names the run; refuses a work folder that is in use."""
        apply_environment(env_cfg)
        own = ("allow_tf32", "num_threads")
        super().setup_env({key: value for key, value in env_cfg.items() if key not in own})
        self._timestamp = unused_run_name(self.work_dir, self._timestamp)
        if self._train_loop is not None and self.rank == 0:
            self._lock.check()

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

    def build_visualizer(self, visualizer: Any = None) -> Any:
        """MMEngine's visualizer, whose trackers cannot end the training."""
        built = super().build_visualizer(without_figure(visualizer))
        guard_trackers(built, self.logger)
        return built

    def build_model(self, model: nn.Module | dict[str, Any]) -> nn.Module:
        """Builds the data, then the model from the seed alone, the same in all processes.

        What is wrong with the data shows before any weights are loaded.
        """
        self._build_data()
        seed_everything(derive_seed(self.seed, "model"))
        return super().build_model(model)

    def _build_data(self) -> None:
        """Builds what the run reads: to train its training data, else what is measured."""
        seed_everything(derive_seed(self.seed, "data"))
        for split in ("train", "val") if self._train_loop is not None else ("val", "test"):
            name = f"_{split}_dataloader"
            loader, loop = getattr(self, name), getattr(self, f"_{split}_loop")
            if isinstance(loader, dict) and loop is not None:
                by_rank = bool(self._randomness_cfg.get("diff_rank_seed", False))
                setattr(self, name, self.build_dataloader(loader, seed=self.seed, diff_rank_seed=by_rank))

    @staticmethod
    def build_dataloader(dataloader: Any, seed: int | None = None, diff_rank_seed: bool = False) -> DataLoader:
        """MMEngine's loader; a sampler that fills batches is told their size."""
        loader = MMRunner.build_dataloader(dataloader, seed, diff_rank_seed)
        fill_batches(loader)
        return loader

    def wrap_model(self, model_wrapper_cfg: dict[str, Any] | None, model: nn.Module) -> nn.Module:
        """Moves the model to its device and, with several processes, lets them share gradients, or weights too.

        Of a model that will be sharded the digest of the frozen weights is taken while they are whole. What trains
        nothing is not sharded.
        """
        if is_sharding(model_wrapper_cfg):
            if self.distributed and self._train_loop is not None:
                once(self, "frozen_digest", model.frozen_digest)  # type: ignore[arg-type]
                return shard(model, model_wrapper_cfg, self.optim_wrapper)
            model_wrapper_cfg = None
        if not self.distributed:
            return model.to(get_device())  # MMEngine would look for batch normalisation too, of which there is none
        if model_wrapper_cfg is not None:
            return super().wrap_model(model_wrapper_cfg, model)
        gpu = int(os.environ["LOCAL_RANK"]) if torch.cuda.is_available() else None
        return MMDistributedDataParallel(
            module=model.to("cpu" if gpu is None else f"cuda:{gpu}"),
            device_ids=None if gpu is None else [gpu],
            broadcast_buffers=False,
            find_unused_parameters=bool(self.cfg.get("find_unused_parameters", False)),
        )

    def build_train_loop(self, loop: Any) -> BaseLoop:
        """Builds the train loop, by default a ``StepLoop``."""
        if isinstance(loop, dict):
            loop = {"type": "diffkit.StepLoop"} | dict(loop)
        return super().build_train_loop(loop)

    def build_optim_wrapper(self, optim_wrapper: Any) -> MMOptimWrapper:
        """Builds the optimizer over the trained parameters."""
        if isinstance(optim_wrapper, MMOptimWrapper):
            return optim_wrapper
        return build_optim_wrapper(self.model, {"constructor": TrainableConstructor} | dict(optim_wrapper))

    def scale_lr(self, optim_wrapper: MMOptimWrapper, auto_scale_lr: dict[str, Any] | None = None) -> None:
        """Scales the learning rates if the config says ``scale_lr=True``, and prints the formula."""
        if auto_scale_lr:
            raise ValueError("auto_scale_lr is not supported; use scale_lr=True, which prints its formula")
        if self._wants_scaled_lr:
            batch = self.train_dataloader.batch_size
            pairs = self._wants_scaled_lr == "with_prior" and getattr(self.train_dataloader.dataset, "has_prior", False)
            self.logger.info(scale_learning_rates(optim_wrapper, batch, self.world_size, 2 if pairs else 1))

    def optimizer_steps(self) -> int:
        """Optimizer steps of the whole training."""
        return -(-self.max_iters // self.optim_wrapper.accumulative_counts)

    def _build_param_scheduler(self, scheduler: Any, optim_wrapper: MMOptimWrapper) -> list[Any]:
        return super()._build_param_scheduler(complete_schedules(scheduler, self.optimizer_steps()), optim_wrapper)

    def register_default_hooks(self, hooks: dict[str, Any] | None = None) -> None:
        """Registers the default hooks that the config does not replace or switch off by None."""
        for hook in complete_hooks(hooks):
            self.register_hook(hook)

    def _init_model_weights(self) -> None:
        """Does nothing: weights are loaded or made when the model is built."""

    def _log_env(self, env_cfg: dict[str, Any]) -> None:
        log_to_file(self.logger, describe_environment())

    def dump_config(self) -> None:
        """Does nothing: ``train`` writes it, once the work folder is this run's; trackers have it too."""

    def train(self) -> nn.Module:
        """Trains to the end.

        Returns:
            The model.

        Raises:
            WorkDirBusyError: another training uses the work folder.
            ResumeError: the checkpoint to go on from does not fit.
            ProcessLostError: another process of the training has ended.
            NonFiniteError: loss or gradients were not finite too many times in a row.
            SystemExit: 130 or 143 after SIGINT or SIGTERM; a checkpoint has been written then.
        """
        if self._train_loop is None:
            raise ValueError("train_cfg, train_dataloader and optim_wrapper must be given to train")
        with self._only_run(), lost_processes_explained():
            self._build_for_training()
            self.call_hook("before_run")
            self.load_or_resume()
            self.optim_wrapper.initialize_count_status(self.model, self.iter, self.max_iters)
            self.train_loop.run()
            self.call_hook("after_run")
        signal = self.train_loop.interrupt.signal
        if signal is not None:
            self.logger.info(f"Stopped by signal {signal} after {self.iter} iterations; --resume goes on.")
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
        if self.rank != 0:
            yield
            return
        self._lock.acquire()
        try:
            clean_leftovers(self.work_dir)
            self._write_config()
            yield
        finally:
            self._end_saving()
            self._lock.release()

    def _end_saving(self) -> None:
        """Lets a checkpoint be completed that is still written when an error ends the training."""
        work, folder = self.saving or (None, None)
        if work is not None and (error := work.wait()) is not None:
            self.logger.error(f"{folder} could not be written: {type(error).__name__}: {error}")

    def _write_config(self) -> None:
        """Writes the config into the work folder; where the disk is full the forecast of the checkpoints tells."""
        if not self.cfg:
            return
        name = Path(self.cfg.filename).name if self.cfg.filename else "config.py"
        try:
            replace_text(Path(self.work_dir) / name, once(self, "config_text", lambda: self.cfg.pretty_text))
        except OSError as error:
            if not is_disk_full(error):
                raise

    @property
    def bare_model(self) -> Any:
        """The model without what wraps it for several processes."""
        return unwrap(self.model)

    @contextmanager
    def averaged_weights(self) -> Iterator[None]:
        """Inside the body the model has the averaged weights, if a hook averages: for samples and exports.

        Where weights are sharded they are whole inside, and all processes have to enter it.
        """
        with ExitStack() as stack:
            for hook in self.hooks:
                if hasattr(hook, "swapped"):
                    stack.enter_context(hook.swapped())
            stack.enter_context(whole_weights(self.model))
            yield

    def save_step(self, background: bool = False, then: Callable[[], Any] = lambda: None) -> Path:
        """Writes ``work_dir/step<N>`` of the iteration that has just run; all processes must call it.

        Args:
            background: goes on while it is written; :meth:`finish_saving` waits for it.
            then: called by the first process when the folder stands.
        """
        self.finish_saving()
        with whole_state(self):
            return checkpointing.save(self, Path(self.work_dir) / f"step{self.iter}", background, then)

    def finish_saving(self) -> None:
        """Waits for the checkpoint that is written in the background, if any, and raises what went wrong with it.

        All processes must call it.
        """
        checkpointing.finish(self)

    def save_checkpoint(self, out_dir: str | Path, filename: str, **_: Any) -> Path:
        """Writes a checkpoint folder where MMEngine would write a pickle: ``iter_10`` for ``iter_10.pth``."""
        with whole_state(self):
            return checkpointing.save(self, Path(out_dir) / filename.removesuffix(".pth"))

    def load_or_resume(self) -> None:
        """Goes on from a checkpoint, or takes the trained weights of one, as the config says; once."""
        if self._has_loaded:
            return
        if self.resume_from:
            named = None if self.resume_from in (True, "auto") else self.resume_from
            checkpointing.resume(self, str(named or self._load_from or "auto"))
        elif self._load_from is not None:
            self.load_checkpoint(self._load_from)
        self._has_loaded = True

    def resume(self, filename: str | Path, **_: Any) -> None:
        """Goes on from the checkpoint ``filename``."""
        checkpointing.resume(self, str(filename))
        self._has_loaded = True

    def load_checkpoint(self, filename: str | Path, **_: Any) -> None:
        """Takes the trained weights of a checkpoint, the averaged ones if it has them."""
        checkpointing.load_weights(self, Path(filename))
        self._has_loaded = True
