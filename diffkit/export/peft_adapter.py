"""Adapters in the format of PEFT: a folder that ``PeftModel.from_pretrained`` reads."""

from copy import deepcopy
from pathlib import Path
from typing import Any

from torch import Tensor

from diffkit.export.artifacts import AdapterArtifact
from diffkit.export.tensors import save_tensors

WEIGHTS_FILE = "adapter_model.safetensors"


def write_peft_adapter(artifact: AdapterArtifact, folder: Path) -> list[Path]:
    """Writes ``<folder>/<component>/adapter_config.json`` and ``adapter_model.safetensors``.

    ``PeftModel.from_pretrained(pipe.unet, folder / "unet")`` reads them.

    Raises:
        ValueError: the module does not carry the adapter.
    """
    check_adapter(artifact)
    module: Any = artifact.module
    config = deepcopy(module.peft_config[artifact.adapter])
    config.inference_mode = True
    config.base_model_name_or_path = artifact.base
    config.auto_mapping = {
        "base_model_class": type(module).__name__, "parent_library": type(module).__module__}
    target = folder / artifact.component
    target.mkdir(parents=True, exist_ok=True)
    config.save_pretrained(str(target))
    save_tensors(adapter_tensors(artifact), target / WEIGHTS_FILE)
    return [target / "adapter_config.json", target / WEIGHTS_FILE]


def adapter_tensors(artifact: AdapterArtifact) -> dict[str, Tensor]:
    """Returns the adapter's live weights under the names that they have in the file."""
    from peft import get_peft_model_state_dict

    state = get_peft_model_state_dict(
        artifact.module, adapter_name=artifact.adapter, save_embedding_layers=False)
    return {f"base_model.model.{key}": value for key, value in state.items()}


def check_adapter(artifact: AdapterArtifact) -> None:
    """Raises ValueError where the module of ``artifact`` does not carry its adapter."""
    carried = getattr(artifact.module, "peft_config", {})
    if artifact.adapter not in carried:
        raise ValueError(f"{artifact.component} carries no adapter {artifact.adapter!r}; it carries "
                         f"{', '.join(map(repr, carried)) or 'none'}.")
