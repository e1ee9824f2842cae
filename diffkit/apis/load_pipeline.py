"""A pipeline to sample from: a base model and the step folders of trainings on it."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffkit.utils.device import choose_device, choose_dtype, dtype_option
from diffkit.utils.pretrained import check_tokenizer, resolve_pretrained, unroll_pretrained
from diffkit.utils.step_folder import LORA_FILE, StepFolder, read_step_folder

if TYPE_CHECKING:
    import torch
    from diffusers import DiffusionPipeline

Names = Sequence[str | Path]


def load_pipeline(
    pretrained: str | Path | None = None,
    steps: Names = (),
    *,
    device: "str | torch.device | None" = None,
    dtype: "str | torch.dtype | None" = None,
    vae: str | Path | None = None,
    scheduler: str | None = "dpm++",
) -> "DiffusionPipeline":
    """Loads a pipeline with the adapters and learned embeddings of any number of step folders.

    Only safetensors files are read.

    Args:
        pretrained: a packaged name, a diffusers folder, a step folder or a hub id; None takes what the first
            of ``steps`` was trained on, or that one itself where it is a whole pipeline.
        steps: step folders; their adapters act together, each at its full strength. Their placeholders must differ.
        device: None takes CUDA where there is one.
        dtype: None or "auto" is float16 on CUDA and float32 elsewhere.
        vae: another VAE: a folder or hub id of a VAE, or of a pipeline that has one.
        scheduler: "dpm++" samples as the pictures shown during training were sampled; None keeps the
            pipeline's own scheduler.

    Raises:
        ValueError: a name stands for nothing, or a step folder does not fit the base.
    """
    if scheduler not in ("dpm++", None):
        raise ValueError(f"scheduler must be 'dpm++' or None, not {scheduler!r}")
    target = choose_device(device)
    number_format = choose_dtype(dtype, target)
    source, folders = _arrange(pretrained, steps)
    pipe = _load_base(source, number_format, vae)
    _add_adapters(pipe, folders, str(source))
    if scheduler:
        _sample_as_in_training(pipe, source)
    pipe.set_progress_bar_config(disable=True)
    return pipe.to(target)


def _arrange(pretrained: str | Path | None, steps: Names) -> tuple[str | Path, list[StepFolder]]:
    """The pipeline to begin with, and all step folders that are put onto it, in order."""
    folders = [_step_folder(step) for step in steps]
    if pretrained is None:
        if not folders:
            raise ValueError("pretrained: name a model or at least one step folder.")
        source, below = unroll_pretrained(folders[0].path)
        folders = folders[1:]
    else:
        source, below = unroll_pretrained(pretrained)
    for folder in folders:
        if folder.is_pipeline:
            raise ValueError(
                f"{folder.path} is a whole pipeline: nothing can be put under it. Give it as pretrained "
                "instead of another model.")
    return source, below + folders


def _step_folder(name: str | Path) -> StepFolder:
    path = resolve_pretrained(name)
    step = read_step_folder(path) if isinstance(path, Path) else None
    if step is None:
        raise ValueError(f"steps: {str(name)!r} is no step folder of this machine.")
    return step


def _load_base(source: str | Path, dtype: "torch.dtype", vae: str | Path | None) -> "DiffusionPipeline":
    from diffusers import DiffusionPipeline

    from diffkit.models.families.vae import load_vae

    options = {"use_safetensors": True, **dtype_option(dtype)}
    parts: dict[str, Any] = {} if vae is None else {"vae": load_vae(vae, **options)}
    pipe = DiffusionPipeline.from_pretrained(source, **options, **parts)
    for name, part in pipe.components.items():
        if name.startswith("tokenizer") and part is not None:
            check_tokenizer(part, f"{source}/{name}")
    return pipe


def _add_adapters(pipe: Any, folders: Sequence[StepFolder], target: str) -> None:
    from torch import nn

    from diffkit.export import apply_adapters, apply_embeddings, check_fits

    names = []
    for number, folder in enumerate(folders):
        name = f"step_{number}"
        apply_embeddings(pipe.components, folder, target)
        if folder.adapters:
            apply_adapters(pipe.components, folder, target, name=name)
        elif folder.lora_file is not None:
            check_fits(pipe.components, folder, target)
            pipe.load_lora_weights(folder.path, weight_name=LORA_FILE, adapter_name=name)
        if folder.adapters or folder.lora_file is not None:
            names.append(name)
    if any(folder.lora_file is not None and not folder.adapters for folder in folders):
        pipe.set_adapters(names)
    for part in pipe.components.values():
        if isinstance(part, nn.Module):
            part.eval()  # load_lora_weights adds layers in training mode


def _sample_as_in_training(pipe: Any, source: str | Path) -> None:
    from diffusers import DDPMScheduler

    from diffkit.models.families.base import sampling_scheduler

    pipe.scheduler = sampling_scheduler(DDPMScheduler.from_pretrained(source, subfolder="scheduler"))
