"""Adapters to and from the files of kohya's programs, which A1111 and ComfyUI read."""

import tempfile
from pathlib import Path
from typing import Any

from diffkit.apis.load_pipeline import load_pipeline
from diffkit.utils.near import did_you_mean
from diffkit.utils.step_folder import StepFolder, read_step_folder

FAMILIES = ("sd", "sdxl")
#: What names of files with weights end with, in lower case: no folder is made with such a name.
FILE_SUFFIXES = (".safetensors", ".ckpt", ".pt", ".pth", ".bin", ".sft", ".onnx", ".xml")


def export_kohya(step: str | Path, out: str | Path, *, dtype: str = "float32", family: str | None = None) -> Path:
    """Writes the adapters of a step folder as one file of kohya's, or of LyCORIS for LoHa and LoKr.

    Args:
        step: a step folder with PEFT adapters of the kind lora, loha or lokr.
        out: the file, ``.safetensors``, which must not be there yet; or a folder for one named after the training.
        dtype: ``float32``, ``float16`` or ``bfloat16``.
        family: ``sd`` or ``sdxl``; None takes what the step folder says.

    Returns:
        The file.

    Raises:
        ValueError: an argument is not valid, or the format has no place for what is there.
    """
    if family is not None and family not in FAMILIES:
        raise ValueError(f"family is {family!r}{did_you_mean(family, FAMILIES)}")
    folder = read_step_folder(step) if Path(step).is_dir() else None
    if folder is None or not folder.adapters:
        raise ValueError(f"step: {str(step)!r} is no step folder with adapters.")
    path = free_file(Path(out), folder.path)
    from diffkit.export.kohya import Adapter, write_kohya
    from diffkit.export.reload import read_adapter

    adapters = [Adapter(component, *read_adapter(place)) for component, place in folder.adapters.items()]
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_kohya(adapters, path, sdxl=_is_sdxl(folder, family), base=folder.base, dtype=dtype,
                       v2=_is_second(adapters))


def import_kohya(file: str | Path, out: str | Path, *, pretrained: str | Path) -> Path:
    """Makes a step folder of a LoRA, LoHa or LoKr in the format of kohya's programs.

    Args:
        file: the file, ``.safetensors``.
        out: the step folder, which must be new or empty.
        pretrained: the model that it belongs to: a packaged name, a diffusers folder, a step folder or a hub id.

    Returns:
        The step folder.

    Raises:
        ValueError: the file is of another kind or for another model, or ``out`` holds something.
    """
    file, out = Path(file), Path(out)
    if not file.is_file():
        raise ValueError(f"file: no file {str(file)!r}.")
    check_empty(out)
    from torch import nn

    from diffkit.export import AdapterArtifact, apply_adapters, merge_adapters, write_artifacts
    from diffkit.export.kohya_read import read_kohya
    from diffkit.export.reload import PREFIX
    from diffkit.export.tensors import save_tensors

    pipe: Any = load_pipeline(pretrained, device="cpu", dtype="float32", scheduler=None)
    networks = {name: part for name, part in pipe.components.items() if isinstance(part, nn.Module)}
    for network in networks.values():
        merge_adapters(network)
    adapters = read_kohya(file, networks, sdxl="text_encoder_2" in networks)
    with tempfile.TemporaryDirectory() as plain:
        for adapter in adapters:
            folder = Path(plain) / adapter.component
            folder.mkdir()
            adapter.config.save_pretrained(str(folder))
            save_tensors({f"{PREFIX}{name}": value for name, value in adapter.tensors.items()},
                         folder / "adapter_model.safetensors")
        folders = {adapter.component: Path(plain) / adapter.component for adapter in adapters}
        apply_adapters(networks, StepFolder(Path(plain), False, folders, None, None), str(pretrained))
    artifacts = [AdapterArtifact(adapter.component, networks[adapter.component], str(pretrained))
                 for adapter in adapters]
    write_artifacts(artifacts, out, lambda: pipe)
    return out


def check_empty(folder: Path, argument: str = "out") -> None:
    """Raises ValueError where ``folder``, known to the user as ``argument``, holds something or is named as a file."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{argument}: {str(folder)!r} is there already and holds something: name a new folder.")
    if folder.suffix.lower() in FILE_SUFFIXES and not folder.exists():
        raise ValueError(f"{argument}: {str(folder)!r} would be a folder, and is named like a file: name a folder.")


def free_file(out: Path, step: Path, end: str = "") -> Path:
    """The safetensors file to write; a folder gets one with the names of training and step, and ``end``.

    Raises:
        ValueError: it is there already, or ``out`` is named like a file of another format.
    """
    is_file = out.suffix == ".safetensors" and not out.is_dir()
    if out.suffix.lower() in FILE_SUFFIXES and not is_file and not out.is_dir():
        raise ValueError(f"out: {str(out)!r} would be a safetensors file: let its name end with .safetensors, or name "
                         "a folder for it.")
    if not is_file:
        out = out / f"{step.resolve().parent.name}_{step.resolve().name}{end}.safetensors"
    if out.exists():
        raise ValueError(f"out: {str(out)!r} is there already.")
    return out


def _is_sdxl(step: StepFolder, family: str | None) -> bool:
    if family is not None:
        return family == "sdxl"
    name = str(step.info.get("pipeline_class", "StableDiffusionXL" if "text_encoder_2" in step.adapters else ""))
    if not name.startswith("StableDiffusion"):
        raise ValueError(f"family: {step.path} does not say whether it was trained on Stable Diffusion or SDXL: give "
                         "sd or sdxl.")
    return name.startswith("StableDiffusionXL")


def _is_second(adapters: list[Any]) -> bool:
    """Whether an adapter was made for Stable Diffusion 2, whose texts are 1024 numbers wide."""
    return any(key.endswith("attn2.to_k.lora_A.weight") and value.shape[1] == 1024
               for adapter in adapters for key, value in adapter.tensors.items())
