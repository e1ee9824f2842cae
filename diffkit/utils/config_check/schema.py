"""What the parts of a config without a ``type`` may hold, as functions that are read and never called.

Their arguments, annotations and demands are checked exactly like those of a class (see signatures.py,
guards.py). ``config`` is the whole file: its arguments are the keys of a run. They are those of MMEngine's
Runner (a test holds them together) and the ones that diffkit adds.
"""

# The bodies only hold demands, and mutable defaults are never used.
# ruff: noqa: B006
# mypy: ignore-errors
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal


def config(
    model: dict,
    work_dir: str | None = None,
    train_dataloader: dict | None = None,
    val_dataloader: dict | None = None,
    test_dataloader: dict | None = None,
    train_cfg: dict | None = None,
    val_cfg: dict | None = None,
    test_cfg: dict | None = None,
    auto_scale_lr: dict | None = None,
    optim_wrapper: dict | None = None,
    param_scheduler: dict | list | None = None,
    val_evaluator: dict | list | None = None,
    test_evaluator: dict | list | None = None,
    default_hooks: dict | None = None,
    custom_hooks: list | None = None,
    data_preprocessor: dict | None = None,
    load_from: str | None = None,
    resume: bool | str | None = False,
    launcher: Literal["none", "pytorch", "slurm", "mpi"] = "none",
    env_cfg: dict = dict(),
    log_processor: dict | None = None,
    log_level: Literal["CRITICAL", "ERROR", "WARNING", "INFO", "DEBUG", "NOTSET"] = "INFO",
    visualizer: dict | None = None,
    default_scope: str | None = "diffkit",
    randomness: dict = dict(),
    experiment_name: str | None = None,
    runner_type: Any = None,
    model_wrapper_cfg: dict | None = None,
    find_unused_parameters: bool = False,
    sync_bn: Literal["torch", "mmcv"] | None = None,
    activation_checkpointing: list[str] | None = None,
    efficient_conv_bn_eval: list[str] | None = None,
    custom_imports: dict | None = None,
) -> None:
    """The keys of a config file."""


def dataloader(
    dataset: dict,
    batch_size: int = 1,
    sampler: dict | None = None,
    batch_sampler: dict | None = None,
    num_workers: int = 0,
    collate_fn: dict | None = None,
    worker_init_fn: dict | None = None,
    pin_memory: bool = False,
    drop_last: bool = False,
    shuffle: bool | None = None,
    timeout: float = 0,
    prefetch_factor: int | None = None,
    persistent_workers: bool = False,
    pin_memory_device: str = "",
    multiprocessing_context: str | None = None,
    in_order: bool = True,
    num_batch_per_epoch: int | None = None,
    disable_subprocess_warning: bool = False,
) -> None:
    """``train_dataloader``, ``val_dataloader``, ``test_dataloader``."""
    if batch_size < 1:
        raise ValueError(f"batch_size must be 1 or more, not {batch_size}")
    if num_workers < 0:
        raise ValueError(f"num_workers must be 0 or more, not {num_workers}")
    if num_workers == 0 and persistent_workers:
        raise ValueError("persistent_workers=True needs num_workers of 1 or more")
    if num_workers == 0 and prefetch_factor is not None:
        raise ValueError("prefetch_factor needs num_workers of 1 or more")
    if timeout < 0:
        raise ValueError(f"timeout must be 0 or more, not {timeout}")
    if sampler is None and batch_sampler is None:
        raise ValueError("sampler must be set: sampler=dict(type=…)")
    if sampler is not None and shuffle:
        raise ValueError("shuffle belongs to the sampler: sampler=dict(type=…, shuffle=True)")


def loop(fp16: bool = False) -> None:
    """``val_cfg`` and ``test_cfg`` without a type."""


def optim_wrapper_extras(
    optimizer: dict | None = None, constructor: Any = None, paramwise_cfg: dict | None = None
) -> None:
    """What MMEngine takes out of ``optim_wrapper`` before it builds the wrapper."""


def param_scheduler_extras(convert_to_iter_based: bool = False) -> None:
    """What MMEngine takes out of a parameter scheduler before it builds it."""


def clip_grad(
    max_norm: float | None = None,
    norm_type: float | str = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
    clip_value: float | None = None,
    type: Literal["norm", "value"] = "norm",
) -> None:
    """``optim_wrapper.clip_grad``: the arguments of torch's clip_grad_norm_ or clip_grad_value_."""
    if type == "norm" and max_norm is None:
        raise ValueError("max_norm must be set")
    if type == "value" and clip_value is None:
        raise ValueError("clip_value must be set")
    if max_norm is not None and max_norm <= 0:
        raise ValueError(f"max_norm must be above 0, not {max_norm}")


def env_cfg(
    cudnn_benchmark: bool = False,
    mp_cfg: dict | None = None,
    dist_cfg: dict | None = None,
    resource_limit: int = 4096,
    allow_tf32: bool | None = None,
    num_threads: int | None = None,
) -> None:
    """``env_cfg``."""
    if num_threads is not None and num_threads < 1:
        raise ValueError(f"num_threads must be 1 or more, not {num_threads}")


def mp_cfg(mp_start_method: Literal["fork", "spawn", "forkserver"] = "fork", opencv_num_threads: int = 0) -> None:
    """``env_cfg.mp_cfg``."""


def randomness(seed: int | None = None, diff_rank_seed: bool = False, deterministic: bool = False) -> None:
    """``randomness``."""
    if seed is not None and not 0 <= seed < 2**32:
        raise ValueError(f"seed must be in 0 .. 2**32 - 1, not {seed}")


def auto_scale_lr(base_batch_size: int, enable: bool = False) -> None:
    """``auto_scale_lr``."""
    if base_batch_size < 1:
        raise ValueError(f"base_batch_size must be 1 or more, not {base_batch_size}")


def custom_imports(imports: list[str] | str, allow_failed_imports: bool = False) -> None:
    """``custom_imports``."""


def scratch(
    unet: dict,
    vae: dict,
    tokenizer: dict,
    text_encoder: dict,
    text_encoder_2: dict | None = None,
    scheduler: dict | None = None,
) -> None:
    """``model.family.scratch``: the anatomy of a model with random weights."""


def concept(
    data_root: str | Path,
    instance_prompt: str | Sequence[str] | None = None,
    class_prompt: str | Sequence[str] | None = None,
    class_data_root: str | Path | None = None,
    num_class_images: int = 0,
    placeholder: str | None = None,
    learnable_property: str | None = None,
    template_file: str | Path | None = None,
    captions: Literal["auto", "txt", "metadata", "none"] = "auto",
    caption_column: str = "text",
    num_images: int | None = None,
    repeats: int = 1,
) -> None:
    """A concept of ``ConceptListDataset``."""
