"""What a ``step<N>`` folder of a training holds for others to load."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from diffkit.utils.foreign_code import read_config

#: The file that says what a step folder holds; see :mod:`diffkit.export.writer`.
INFO_FILE = "diffkit.json"
LORA_FILE = "pytorch_lora_weights.safetensors"
QUANTIZED_UNET = "unet_int8"
DELTA_FILE = "pytorch_custom_diffusion_weights.safetensors"
COMPRESSED_DELTA_FILE = "compressed_custom_diffusion_weights.safetensors"
COMPONENTS = ("unet", "text_encoder", "text_encoder_2")

#: How the files of learned vectors begin, for each text encoder; see :mod:`diffkit.export.embeddings`.
EMBEDDING_FILES = {"text_encoder": "learned_embeds", "text_encoder_2": "learned_embeds_2"}


@dataclass(frozen=True)
class StepFolder:
    """A folder with something that was trained.

    Attributes:
        path: the folder.
        is_pipeline: it is a whole diffusers pipeline.
        adapters: PEFT adapter folders by component.
        lora_file: the LoRA file of diffusers, or None.
        base: what the adapters were trained on, as the user named it then, or None.
        info: the content of ``diffkit.json``; empty for a folder that another program wrote.
        embeddings: files with learned vectors of placeholders, by text encoder; a whole pipeline has them in itself.
        delta: the file with trained weights of cross-attention, or None.
    """

    path: Path
    is_pipeline: bool
    adapters: dict[str, Path]
    lora_file: Path | None
    base: str | None
    info: dict[str, Any] = field(default_factory=dict)
    embeddings: dict[str, list[Path]] = field(default_factory=dict)
    delta: Path | None = None

    @property
    def quantized(self) -> Path | None:
        """The folder of a UNet as integers, or None."""
        return find_quantized(self.path)

    def describe(self) -> str:
        """One line of what the folder holds."""
        kinds = [f"an adapter of {name}" for name in self.adapters]
        if self.lora_file is not None and not self.adapters:
            kinds.append("a LoRA file")
        if self.embeddings:
            kinds.append("learned embeddings")
        if self.delta is not None:
            kinds.append("trained cross-attention")
        if self.quantized is not None:
            kinds.append("a quantised UNet")
        if self.is_pipeline:
            kinds.append("a whole pipeline")
        return f"{self.path}: {', '.join(kinds)}" + (f"; trained on {self.base!r}" if self.base else "")


def read_step_folder(path: str | Path) -> StepFolder | None:
    """Looks what a folder holds.

    Args:
        path: a ``step<N>`` folder, a diffusers pipeline, or a folder of PEFT adapters, of a diffusers LoRA, of
            learned embeddings or of Custom Diffusion that another program wrote.

    Returns:
        None where the folder holds nothing that can be loaded.

    Raises:
        ValueError: ``diffkit.json`` or a config of an adapter is not readable JSON.
    """
    path = Path(path)
    adapters = {name: path / name for name in COMPONENTS if (path / name / "adapter_config.json").is_file()}
    lora_file = path / LORA_FILE if (path / LORA_FILE).is_file() else None
    is_pipeline = (path / "model_index.json").is_file()
    embeddings = find_embeddings(path)
    delta = next((path / name for name in (DELTA_FILE, COMPRESSED_DELTA_FILE) if (path / name).is_file()), None)
    if not (find_quantized(path) or adapters or lora_file or is_pipeline or embeddings or delta):
        return None
    info = read_json(path / INFO_FILE) if (path / INFO_FILE).is_file() else {}
    base = info.get("base")
    for folder in adapters.values():
        base = base or read_json(folder / "adapter_config.json").get("base_model_name_or_path")
    if base is not None and not isinstance(base, str):
        raise ValueError(f"{path} does not say in words what it was trained on: base is {base!r}.")
    return StepFolder(path, is_pipeline, adapters, lora_file, base, info, embeddings, delta)


def find_quantized(path: Path) -> Path | None:
    """The folder of a UNet as integers in a step folder; see :mod:`diffkit.export.quantized`."""
    return path / QUANTIZED_UNET if (path / QUANTIZED_UNET / "quantization.json").is_file() else None


def find_embeddings(path: Path) -> dict[str, list[Path]]:
    """Files with learned vectors in a folder, by text encoder: ``learned_embeds.safetensors`` and its like.

    Beside Custom Diffusion that diffusers wrote they are called after their word: ``<new1>.safetensors``.
    """
    found: dict[str, list[Path]] = {}
    for component, stem in EMBEDDING_FILES.items():
        files = [*path.glob(f"{stem}.safetensors"), *sorted(path.glob(f"{stem}.*.safetensors"))]
        if component == "text_encoder" and not files and (path / DELTA_FILE).is_file():
            files = sorted(path.glob("<*>.safetensors"))
        if files:
            found[component] = files
    return found


def read_json(path: Path) -> dict[str, Any]:
    """Reads a JSON object; ValueError names the file where it is damaged."""
    try:
        return read_config(path)
    except ValueError as error:
        raise ValueError(f"{path} cannot be read: {error}") from None
