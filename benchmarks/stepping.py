"""Trainings whose steps are taken one by one from outside: the real runner, up to its first step."""

import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config
from torch import nn

from benchmarks.pictures import draw_folder
from diffkit.apis.configs import load_config
from diffkit.apis.runner import build_runner
from diffkit.engine.loops import StepLoop

#: Hooks that work now and then, not in each step: pictures, and figures of quantised models.
OCCASIONAL = ("SampleHook", "QuantizationHook")
#: No checkpoint falls due before the last of so many iterations, and no benchmark gets there.
_ENDLESS = 1_000_000


class SteppedLoop(StepLoop):
    """A train loop that prepares everything, and takes a step where it is told to.

    ``runner.train()`` returns before the first step.

    Attributes:
        batches: the training's data, from the first step on.
    """

    batches: Iterator[Any]

    def run(self) -> nn.Module:
        self.runner.call_hook("before_train")
        self.runner.call_hook("before_train_epoch")
        self.batches = self._batches()
        return self.runner.model

    def step(self) -> None:
        """One step of the training, with all its hooks."""
        self._run_step(self.batches)


def stepped_config(config: str | Path, work_dir: Path, options: Mapping[str, Any]) -> Config:
    """A config whose training :func:`stepped` can prepare: one thread, no workers, no hook that works now and then.

    Args:
        config: a file, or the name of a config that comes with diffkit.
        work_dir: where its log goes.
        options: values that replace those of the config, by dotted key.

    Raises:
        ConfigError: the config or an option has a fault.
        FileNotFoundError: there is no such config.
    """
    own = {"train_cfg.max_iters": _ENDLESS, "train_dataloader.num_workers": 0,
           "train_dataloader.persistent_workers": False, "default_hooks.checkpoint.interval": -1,
           "env_cfg.num_threads": 1, "log_level": "ERROR"}
    cfg = load_config(config, work_dir=work_dir, cfg_options={**own, **options})
    cfg.train_cfg.type = SteppedLoop
    cfg.custom_hooks = [hook for hook in cfg.get("custom_hooks") or [] if _name(hook["type"]) not in OCCASIONAL]
    for key in ("val_cfg", "val_dataloader", "val_evaluator", "test_cfg", "test_dataloader", "test_evaluator"):
        cfg.pop(key, None)
    return cfg


def stepped(cfg: Config) -> Any:
    """The runner of a config of :func:`stepped_config`, ready for ``runner.train_loop.step()``."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        runner = build_runner(cfg)
        runner.train()
    return runner


def picture_options(folder: Path, count: int, side: int, concept: bool) -> dict[str, Any]:
    """Draws pictures, and returns the options that let a config train on them, none of them mirrored.

    Args:
        folder: where the pictures go.
        count: of them.
        side: of the pictures and of what the model sees of them, in pixels.
        concept: they show one thing and have one prompt; otherwise each has its caption.
    """
    draw_folder(folder, count, side, captions=not concept)
    options = {"data_root": str(folder), "resolution": side, "hflip": 0.0, "center_crop": True}
    if concept:
        options["instance_prompt"] = "a photo of sks dog"
    return {f"train_dataloader.dataset.{key}": value for key, value in options.items()}


def _name(kind: Any) -> str:
    return getattr(kind, "__name__", None) or str(kind).rpartition(".")[2]
