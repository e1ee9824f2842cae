"""A toy package and toy configs on disk, for the tests of the config check."""

import textwrap
from pathlib import Path

from mmengine.config import Config

from diffkit.utils.config_check import ConfigError, Fault, check_config

PARTS = """
from abc import ABC
from dataclasses import dataclass, field
from typing import Literal, Optional, Sequence, Union
from pathlib import Path
import heavy_library_that_is_not_there
from .more import Base, MODES

Size = Union[int, tuple[int, int]]


class Net(Base):
    def __init__(self, width: int, depth: "int | None" = None, mode: Literal["fast", "slow"] = "fast",
                 size: Size = 64, loss: dict | None = None, layers: Sequence[dict] = (), **kwargs) -> None:
        super().__init__(**kwargs)
        if width < 1:
            raise ValueError(f"width must be at least 1, got {width}")


class Layer:
    def __init__(self, name: str = "a", rate: float = 0.5, norm=None):
        _check_rate(rate)


def _check_rate(rate):
    if not 0 <= rate <= 1:
        raise ValueError(f"{rate} is no rate")


@dataclass
class Data:
    data_root: str | Path
    columns: Optional[list[str]] = None
    shuffle: bool = True
    hidden: int = field(default=0, init=False)


class Sampler:
    def __init__(self, dataset, shuffle: bool = True, seed: int | None = None): ...


class Loop:
    def __init__(self, runner, dataloader, max_iters: int): ...


class Hook:
    def __init__(self, interval: int = 10, prompts: Sequence[str] = ("a",)): ...

    @classmethod
    def often(cls, times: int): ...


class Wrap:
    def __init__(self, optimizer, accumulative_counts: int = 1, dtype: str | None = None, clip_grad=None): ...


class Opt:
    def __init__(self, params, lr: float = 0.1, betas: tuple[float, float] = (0.9, 0.99)): ...


def collate(batch, pad: int = 0):
    return batch
"""
MORE = """
MODES = ("x", "y")

class Base:
    def __init__(self, style: str = "x", momentum: float = 0.9):
        if style not in MODES:
            raise ValueError(f"style must be one of {', '.join(MODES)}, got {style!r}")
"""
BASE_MODEL = """
from toykit import Net
model = dict(type=Net, width=4, loss=dict(weight=1.0))
"""
BASE_RUN = """
from toykit import Data, Loop, Opt, Sampler, Wrap, collate
train_cfg = dict(type=Loop, max_iters=10)
train_dataloader = dict(
    batch_size=2,
    num_workers=0,
    dataset=dict(type=Data, data_root="."),
    sampler=dict(type=Sampler),
    collate_fn=dict(type=collate, pad=1))
optim_wrapper = dict(type=Wrap, optimizer=dict(type=Opt, lr=0.1), clip_grad=dict(max_norm=1.0))
param_scheduler = []
randomness = dict(seed=0)
"""
CONFIG = """
from mmengine.config import read_base

with read_base():
    from .base_model import *
    from .base_run import *

from toykit import Hook

prompt = "a cat"
custom_hooks = [dict(type=Hook, prompts=[prompt])]
train_dataloader.dataset.update(columns=["a", "b"])
"""


def write_kit(folder: Path) -> Path:
    """Writes the package ``toykit`` and the config ``run.py``; the folder must be on ``sys.path``."""
    package = folder / "toykit"
    package.mkdir()
    (package / "__init__.py").write_text("from .parts import *\nfrom .parts import Net as Network\n")
    (package / "parts.py").write_text(PARTS)
    (package / "more.py").write_text(MORE)
    (folder / "base_model.py").write_text(BASE_MODEL)
    (folder / "base_run.py").write_text(BASE_RUN)
    return write_config(folder)


def write_config(folder: Path, more: str = "", name: str = "run.py", text: str = CONFIG) -> Path:
    """Writes a config, with lines added at its end."""
    path = folder / name
    path.write_text(text + textwrap.dedent(more))
    return path


def faults_of(config: str | Path | Config, **options: object) -> list[Fault]:
    """Returns the faults of a config; empty when it has none."""
    try:
        dotted = {key.replace("__", "."): value for key, value in options.items()}
        check_config(config, dotted, keep_sources=True)
    except ConfigError as error:
        return error.faults
    return []


def only_fault(config: str | Path | Config, **options: object) -> Fault:
    """Returns the one fault that a config must have."""
    faults = faults_of(config, **options)
    assert len(faults) == 1, [str(fault) for fault in faults]
    return faults[0]
