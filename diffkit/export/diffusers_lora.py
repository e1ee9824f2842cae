"""LoRA in the format of diffusers: one file that ``pipe.load_lora_weights`` reads."""

import dataclasses
import enum
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from diffkit.export.artifacts import AdapterArtifact
from diffkit.export.peft_adapter import check_adapter
from diffkit.export.tensors import save_tensors
from diffkit.utils.step_folder import LORA_FILE

COMPONENTS = ("unet", "text_encoder", "text_encoder_2")

#: The name under which diffusers keeps the LoRA configs in the header of the file.
METADATA_KEY = "lora_adapter_metadata"


def write_diffusers_lora(artifacts: Sequence[AdapterArtifact], folder: Path) -> list[Path]:
    """Writes the LoRAs of UNet and text encoders into one ``pytorch_lora_weights.safetensors``.

    Adapters of other kinds and of other components have no place in this format and are left out; without any
    LoRA nothing is written.
    """
    tensors = lora_tensors(artifacts)
    if not tensors:
        return []
    configs = {key: value for artifact in _loras(artifacts) for key, value in _config(artifact).items()}
    folder.mkdir(parents=True, exist_ok=True)
    save_tensors(tensors, folder / LORA_FILE, {METADATA_KEY: json.dumps(configs, indent=2, sort_keys=True)})
    return [folder / LORA_FILE]


def lora_tensors(artifacts: Sequence[AdapterArtifact]) -> dict[str, Tensor]:
    """Returns the live weights of all LoRAs under the names that they have in the file.

    Raises:
        ValueError: a module does not carry its adapter, or a component has two.
    """
    tensors: dict[str, Tensor] = {}
    for artifact in _loras(artifacts):
        if any(key.startswith(f"{artifact.component}.") for key in tensors):
            raise ValueError(f"two adapters of {artifact.component!r}: the LoRA file of diffusers holds one.")
        tensors.update(_tensors(artifact))
    return tensors


def _loras(artifacts: Sequence[AdapterArtifact]) -> list[AdapterArtifact]:
    """Those that the file has a place for."""
    for artifact in artifacts:
        check_adapter(artifact)
    return [artifact for artifact in artifacts if artifact.component in COMPONENTS and _is_lora(artifact)]


def _is_lora(artifact: AdapterArtifact) -> bool:
    return str(artifact.module.peft_config[artifact.adapter].peft_type.value) == "LORA"  # type: ignore


def _tensors(artifact: AdapterArtifact) -> dict[str, Tensor]:
    """The weights under the names that diffusers and other programs know."""
    from diffusers.utils import convert_state_dict_to_diffusers
    from peft import get_peft_model_state_dict

    state = get_peft_model_state_dict(
        artifact.module, adapter_name=artifact.adapter, save_embedding_layers=False)
    state = convert_state_dict_to_diffusers(state)
    # transformers 5 dropped the level "text_model" from CLIPTextModel; every reader knows it in files
    return {f"{artifact.component}.{'text_model.' * key.startswith('encoder.')}{key}": value
            for key, value in state.items()}


def _config(artifact: AdapterArtifact) -> dict[str, Any]:
    """What a reader needs to rebuild the layers: alpha above all, without which the strength is wrong.

    Fields that have their default are left out, for another version of PEFT may not know them; so is the
    dropout, which belongs to training and would be active in a pipeline.
    """
    config: Any = artifact.module.peft_config[artifact.adapter]  # type: ignore[union-attr, index]
    always = {"r", "lora_alpha", "target_modules"}
    never = {"peft_version", "lora_dropout", "init_lora_weights", "inference_mode", "base_model_name_or_path"}
    kept = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if field.name in always or (field.name not in never and value != _default(field)):
            kept[f"{artifact.component}.{field.name}"] = _plain(value)
    return kept


def _default(field: dataclasses.Field) -> Any:
    if field.default_factory is dataclasses.MISSING:
        return field.default
    return field.default_factory()


def _plain(value: Any) -> Any:
    """``value`` as JSON knows it."""
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    return value.value if isinstance(value, enum.Enum) else value
