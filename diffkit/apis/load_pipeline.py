"""A pipeline to sample from: a base model and the step folders of trainings on it."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffkit.apis.openvino_unet import PRECISIONS, openvino_unet
from diffkit.apis.put_steps import check_weights, put_steps
from diffkit.utils.device import choose_device, choose_dtype, dtype_option
from diffkit.utils.pretrained import (
    PretrainedError,
    as_the_user_named,
    base_of,
    resolve_pretrained,
    unroll_pretrained,
)
from diffkit.utils.step_folder import StepFolder, read_step_folder

if TYPE_CHECKING:
    import torch
    from diffusers import DiffusionPipeline

Names = Sequence[str | Path]

#: What a quantised UNet can compute with.
KERNELS = ("auto", "kernels", "dequantized", *PRECISIONS)
#: What a pipeline can be sampled with.
SCHEDULERS = ("auto", "dpm++", "lcm")


def load_pipeline(
    pretrained: str | Path | None = None,
    steps: Names = (),
    *,
    weights: Sequence[float] | None = None,
    device: "str | torch.device | None" = None,
    dtype: "str | torch.dtype | None" = None,
    vae: str | Path | None = None,
    scheduler: str | None = "auto",
    allow_pickle: bool = False,
    kernels: str = "auto",
) -> "DiffusionPipeline":
    """Loads a pipeline with the adapters and learned embeddings of any number of step folders.

    Only safetensors files are read, unless ``allow_pickle`` is set.

    Args:
        pretrained: a packaged name, a diffusers folder, a step folder or a hub id; None takes what the first
            of ``steps`` was trained on, or that one itself where it is a whole pipeline.
        steps: step folders; what they changed is added up. Their placeholders must differ. One step folder alone, with
            the weight 1, stays an adapter beside the weights; otherwise they are added into the weights.
        weights: a number for each of ``steps``, with which its change is multiplied: 0 leaves it out, 1 is as trained,
            more or less than none are allowed; all 1 where None. Learned words have no weight but 1.
        device: None takes CUDA where there is one.
        dtype: None or "auto" is float16 on CUDA and float32 elsewhere.
        vae: another VAE: a folder or hub id of a VAE, or of a pipeline that has one.
        scheduler: "auto" samples as the pictures shown during training were sampled: with "lcm", the sampler of
            consistency models in few steps, where a whole pipeline was saved with it, else with "dpm++". An adapter
            alone does not say: name "lcm" for a consistency LoRA. None keeps the pipeline's own scheduler.
        allow_pickle: also read ``.bin`` weights where there are no others (``weights_only``: tensors alone, no code).
            Adapters are always safetensors.
        kernels: what a quantised UNet computes with: "auto" takes integer kernels on a CPU where they are right and
            gain time, "kernels" wherever they are right, "dequantized" never. "openvino" and "openvino-bf16" let
            OpenVINO compute it on a CPU, with float32 or bfloat16 where it is not quantised.

    Raises:
        PretrainedError: a name stands for nothing that can be loaded.
        ValueError: a step folder does not fit the base, or another argument is not valid.
    """
    if scheduler not in (*SCHEDULERS, None):
        raise ValueError(f"scheduler must be {', '.join(map(repr, SCHEDULERS))} or None, not {scheduler!r}")
    if kernels not in KERNELS:
        raise ValueError(f"kernels is {kernels!r}; allowed: {', '.join(map(repr, KERNELS))}.")
    from diffkit.export.quantized import enable_kernels, take_quantized

    target = choose_device(device)
    number_format = choose_dtype(dtype, target)
    source, below, folders, numbers = _arrange(pretrained, steps, weights)
    with base_of(below or (folders[:1] if pretrained is None else [])):
        below, folders, quantized = take_quantized(source, below, folders)
        if quantized is None and kernels in PRECISIONS:
            raise ValueError(f"kernels: {kernels!r} is for a quantised UNet, and nothing of what was given holds one.")
        pipe, place = _load_base(source, number_format, vae, allow_pickle, quantized)
    put_steps(pipe, below, folders, [numbers[folder.path] for folder in folders], str(source))
    if scheduler:
        _take_scheduler(pipe, place, scheduler)
    pipe.set_progress_bar_config(disable=True)
    pipe.to(target)
    if quantized is not None and kernels in PRECISIONS:
        pipe.unet = openvino_unet(quantized, pipe.unet, kernels, target.type).to(number_format)
    elif quantized is not None:
        enable_kernels(pipe.unet, kernels)
    return pipe


def _arrange(
    pretrained: str | Path | None, steps: Names, weights: Sequence[float] | None
) -> tuple[str | Path, list[StepFolder], list[StepFolder], dict[Path, float]]:
    """The pipeline to begin with, the step folders by which it was found, those that are put onto all, and weights."""
    folders = [_step_folder(step) for step in steps]
    numbers = dict(zip((folder.path for folder in folders), check_weights(folders, weights), strict=True))
    if pretrained is not None:
        source, below = unroll_pretrained(pretrained)
    elif not folders:
        raise ValueError("pretrained: name a model or at least one step folder.")
    else:
        source, below = unroll_pretrained(folders[0].path)
        if folders[0].is_pipeline:
            folders = folders[1:]
        else:
            below = below[:-1]  # the last is the folder itself
    for folder in folders:
        if folder.is_pipeline:
            raise ValueError(
                f"{folder.path} is a whole pipeline: nothing can be put under it. Give it as pretrained "
                "instead of another model.")
    if pretrained is None:
        _check_bases(folders[1:], [*below, *folders])
    return source, below, folders, numbers


def _check_bases(folders: Sequence[StepFolder], there: Sequence[StepFolder]) -> None:
    """Refuses a step folder that was trained on another one which is not there."""
    known = [step.path.resolve() for step in there]
    for folder in folders:
        below = Path(folder.base) if folder.base else None
        if below is None or not below.is_dir() or below.resolve() in known:
            continue
        step = read_step_folder(below)
        if step is not None and not step.is_pipeline:
            raise ValueError(f"{folder.path} was trained on the step folder {folder.base!r}: give that too, before it.")


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


def _take_scheduler(pipe: Any, place: str | Path, scheduler: str) -> None:
    from diffusers import DDPMScheduler, LCMScheduler

    from diffkit.models.families.base import few_step_scheduler, sampling_scheduler

    noise = DDPMScheduler.from_pretrained(place, subfolder="scheduler")
    few = scheduler == "lcm" or (scheduler == "auto" and isinstance(pipe.scheduler, LCMScheduler))
    pipe.scheduler = few_step_scheduler(noise) if few else sampling_scheduler(noise)
