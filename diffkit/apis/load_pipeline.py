"""A pipeline to sample from: a base model and the step folders of trainings on it."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffkit.utils.device import choose_device, choose_dtype, dtype_option
from diffkit.utils.neural_compressor import hide_broken_neural_compressor
from diffkit.utils.pretrained import (
    PretrainedError,
    as_the_user_named,
    base_of,
    resolve_pretrained,
    unroll_pretrained,
)
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
    allow_pickle: bool = False,
    kernels: str = "auto",
) -> "DiffusionPipeline":
    """Loads a pipeline with the adapters and learned embeddings of any number of step folders.

    Only safetensors files are read, unless ``allow_pickle`` is set.

    Args:
        pretrained: a packaged name, a diffusers folder, a step folder or a hub id; None takes what the first
            of ``steps`` was trained on, or that one itself where it is a whole pipeline.
        steps: step folders; their adapters act together, each at its full strength. Their placeholders must differ.
        device: None takes CUDA where there is one.
        dtype: None or "auto" is float16 on CUDA and float32 elsewhere.
        vae: another VAE: a folder or hub id of a VAE, or of a pipeline that has one.
        scheduler: "dpm++" samples as the pictures shown during training were sampled; None keeps the
            pipeline's own scheduler.
        allow_pickle: also read ``.bin`` weights where there are no others (``weights_only``: tensors alone, no code).
            Adapters are always safetensors.
        kernels: what a quantised UNet computes with: "auto" takes integer kernels on a CPU where they are right and
            gain time, "kernels" wherever they are right, "dequantized" never.

    Raises:
        PretrainedError: a name stands for nothing that can be loaded.
        ValueError: a step folder does not fit the base, or another argument is not valid.
    """
    if scheduler not in ("dpm++", None):
        raise ValueError(f"scheduler must be 'dpm++' or None, not {scheduler!r}")
    from diffkit.export.quantized import enable_kernels, take_quantized

    target = choose_device(device)
    number_format = choose_dtype(dtype, target)
    source, below, folders = _arrange(pretrained, steps)
    with base_of(below):
        below, folders, quantized = take_quantized(source, below, folders)
        pipe, place = _load_base(source, number_format, vae, allow_pickle, quantized)
    _add_adapters(pipe, below, folders, str(source))
    if scheduler:
        _sample_as_in_training(pipe, place)
    pipe.set_progress_bar_config(disable=True)
    pipe.to(target)
    if quantized is not None:
        enable_kernels(pipe.unet, kernels)
    return pipe


def _arrange(
    pretrained: str | Path | None, steps: Names
) -> tuple[str | Path, list[StepFolder], list[StepFolder]]:
    """The pipeline to begin with, the step folders by which it was found, and those that are put onto all."""
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
    return source, below, folders


def _step_folder(name: str | Path) -> StepFolder:
    with as_the_user_named(pretrained="steps"):
        path = resolve_pretrained(name)
    step = read_step_folder(path) if isinstance(path, Path) else None
    if step is None:
        raise ValueError(f"steps: {str(name)!r} is no step folder of this machine.")
    return step


def _load_base(
    source: str | Path, dtype: "torch.dtype", vae: str | Path | None, allow_pickle: bool,
    quantized: Path | None = None,
) -> tuple["DiffusionPipeline", str | Path]:
    """The pipeline, and where its files are: a folder, or a hub id."""
    from diffusers import DiffusionPipeline, UNet2DConditionModel

    from diffkit.export.quantized import load_in_place_of
    from diffkit.models.families.networks import check_tokenizer, load_networks
    from diffkit.models.families.vae import find_vae, load_vae, vae_part
    from diffkit.utils.pretrained_files import find_model, reading

    model = find_model(source)
    if "model_index.json" not in model.files:
        raise PretrainedError(
            source, "is no diffusers pipeline, or only a part of it was downloaded: there is no model_index.json.")
    networks = [name for name in model.parts()
                if (name != "vae" or vae is None) and (name != "unet" or quantized is None)]
    model.check(networks, allow_pickle)
    other = None if vae is None else find_vae(vae)
    if other is not None:
        other.check([vae_part(other)], allow_pickle)
    parts = load_networks(model, networks, dtype)
    if other is not None:
        parts["vae"] = load_vae(other, dtype)
    if quantized is not None:
        own = UNet2DConditionModel.load_config(model.source, subfolder="unet")
        parts["unet"] = load_in_place_of(own, quantized, dtype)
    pickled = any(model.weights(name) == "pickle" for name in networks)
    with reading(model):
        pipe = DiffusionPipeline.from_pretrained(
            model.source, use_safetensors=None if pickled else True, **dtype_option(dtype), **parts)
    for name, part in pipe.components.items():
        if name.startswith("tokenizer") and part is not None:
            check_tokenizer(model, name, part, pipe.components.get(name.replace("tokenizer", "text_encoder")))
    pipe.register_to_config(_name_or_path=str(source))  # and not a folder of the cache
    return pipe, model.source


def _add_adapters(pipe: Any, below: Sequence[StepFolder], others: Sequence[StepFolder], target: str) -> None:
    """Puts ``below`` onto the pipeline, each trained on what was there then, and ``others``, each trained alone."""
    from torch import nn

    from diffkit.export import apply_adapters, apply_delta, apply_embeddings, check_fits, merge_adapters
    from diffkit.export.tensors import read_tensors

    names: list[str] = []
    before: dict[str, Any] = {}
    folders = [*below, *others]
    for number, folder in enumerate(folders):
        name = f"step_{number}"
        apply_embeddings(pipe.components, folder, target)
        on_top = number < len(below) or _trained_on(folder, folders[:number])
        if folder.delta is not None and on_top and names:
            for part in pipe.components.values():
                if isinstance(part, nn.Module):
                    merge_adapters(part)  # its weights hold the adapters that were there
            names = []
        apply_delta(pipe.components, folder, target, before, on_top)
        if folder.adapters:
            apply_adapters(pipe.components, folder, target, name=name)
        elif folder.lora_file is not None:
            check_fits(pipe.components, folder, target)
            hide_broken_neural_compressor()
            read_tensors(folder.lora_file)  # says what is wrong with it
            pipe.load_lora_weights(folder.path, weight_name=LORA_FILE, adapter_name=name, use_safetensors=True)
        if folder.adapters or folder.lora_file is not None:
            names.append(name)
    if any(folder.lora_file is not None and not folder.adapters for folder in folders):
        pipe.set_adapters(names)
    for part in pipe.components.values():
        if isinstance(part, nn.Module):
            part.eval()  # load_lora_weights adds layers in training mode


def _trained_on(step: StepFolder, others: Sequence[StepFolder]) -> bool:
    """Whether a step folder names one of some others as what it was trained on."""
    return step.base is not None and Path(step.base).resolve() in [other.path.resolve() for other in others]


def _sample_as_in_training(pipe: Any, place: str | Path) -> None:
    from diffusers import DDPMScheduler

    from diffkit.models.families.base import sampling_scheduler

    pipe.scheduler = sampling_scheduler(DDPMScheduler.from_pretrained(place, subfolder="scheduler"))
