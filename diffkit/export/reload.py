"""Adapters of a step folder, put back into the networks of a pipeline."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from diffkit.export.peft_adapter import WEIGHTS_FILE
from diffkit.export.signature import signature
from diffkit.export.tensors import read_tensors
from diffkit.utils.foreign_code import code_wanted
from diffkit.utils.neural_compressor import leave_neural_compressor_out
from diffkit.utils.step_folder import INFO_FILE, StepFolder
from diffkit.utils.weight_files import pickled_files

PREFIX = "base_model.model."


def check_fits(components: Mapping[str, nn.Module], step: StepFolder, target: str) -> None:
    """Refuses a step folder whose adapters were trained on networks of another structure.

    Args:
        components: the networks of the pipeline, by name.
        step: the step folder; one without ``diffkit.json`` is not checked here, but when it is loaded.
        target: name of the pipeline, for the message.

    Raises:
        ValueError: it does not fit.
    """
    for name in step.adapters:
        if name not in components:
            kind = step.info.get("pipeline_class", "pipeline of another kind")
            raise ValueError(
                f"{step.path} holds an adapter of {name!r}, which {target!r} lacks: it was trained on "
                f"{step.base!r}, a {kind}.")
    for name, trained_on in _structure(step).items():
        found = signature(components[name]) if name in components else None
        if found is not None and found["shapes"] != trained_on["shapes"]:
            raise ValueError(
                f"{step.path} was trained on {step.base!r}, whose {name} has {_millions(trained_on)}; "
                f"the {name} of {target!r} has {_millions(found)} and another structure. "
                f"Load it onto {step.base!r}.")


def _structure(step: StepFolder) -> dict[str, dict[str, Any]]:
    found = step.info.get("structure", {})
    if not isinstance(found, dict) or not all(
            isinstance(part, dict) and part.keys() >= {"shapes", "parameters"} for part in found.values()):
        raise ValueError(f"{step.path / INFO_FILE} is damaged: structure is not what this program writes.")
    return found


def apply_adapters(components: Mapping[str, nn.Module], step: StepFolder, target: str,
                   name: str = "default") -> None:
    """Puts the PEFT adapters of a step folder into the networks, in place, beside adapters that are there
    already.

    The modules keep their class and their mode; the adapters take their dtype and device.

    Args:
        components: the networks of the pipeline, by name.
        step: a step folder with adapters.
        target: name of the pipeline, for messages.
        name: the name of the new adapters.

    Raises:
        ValueError: the adapters do not fit; see :func:`check_fits`.
    """
    check_fits(components, step, target)
    for component, folder in step.adapters.items():
        _load_adapter(components[component], folder, name, target)


def _load_adapter(module: Any, folder: Path, name: str, target: str) -> None:
    from peft import get_peft_model_state_dict, set_peft_model_state_dict

    leave_neural_compressor_out()
    active = _active_adapters(module)
    if name in getattr(module, "peft_config", {}):
        raise ValueError(f"name: an adapter {name!r} is there already.")
    config, tensors = read_adapter(folder)
    state = {_own_name(key, module): value for key, value in tensors.items()}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Already found a `peft_config`")  # several adapters are wanted
        module.add_adapter(config, name)
    expected = get_peft_model_state_dict(module, adapter_name=name, save_embedding_layers=False)
    wrong = sorted(expected.keys() ^ state.keys())
    wrong += [key for key in expected.keys() & state.keys() if expected[key].shape != state[key].shape]
    if wrong:
        raise ValueError(
            f"the adapter in {folder} does not fit {target!r}: {len(wrong)} of "
            f"{len(expected.keys() | state.keys())} tensors have no counterpart of their shape, such as "
            f"{wrong[0]}. It was trained on another model.")
    set_peft_model_state_dict(module, state, adapter_name=name)
    device, dtype = module.device, module.dtype
    for key, parameter in module.named_parameters():
        if f".{name}." in f"{key}.":
            parameter.data = parameter.data.to(device=device, dtype=dtype)
    module.set_adapter([*active, name])
    module.requires_grad_(False)
    module.train(module.training)  # new layers are born in training mode, where their dropout is active


def read_adapter(folder: Path) -> tuple[Any, dict[str, Tensor]]:
    """Reads PEFT's config and tensors from a folder.

    Raises:
        ValueError: the folder is damaged, or asks for what is never run.
    """
    tensors = _weights(folder)
    return _config(folder), tensors


def _weights(folder: Path) -> dict[str, Tensor]:
    """The tensors of an adapter; only safetensors are read."""
    path = folder / WEIGHTS_FILE
    if not path.is_file():
        others = pickled_files(other.name for other in folder.iterdir())
        beside = f"; {', '.join(others)} is never read, for a pickle can hold code" if others else ""
        raise ValueError(f"{folder} has a config of an adapter but no {WEIGHTS_FILE}{beside}.")
    return read_tensors(path)


def _config(folder: Path) -> Any:
    """The config of an adapter; one that names packages or classes of its own is refused."""
    from peft import PeftConfig

    if fault := code_wanted(["adapter_config.json"], lambda file: folder / file):
        raise ValueError(f"the adapter in {folder} {fault}.")
    try:
        return PeftConfig.from_pretrained(str(folder))
    except (KeyError, TypeError, ValueError) as error:  # an unknown kind of adapter, or arguments of another kind
        raise ValueError(f"the adapter in {folder} has a config that PEFT cannot read: {error!r}.") from error


def _active_adapters(module: Any) -> list[str]:
    return list(module.active_adapters()) if getattr(module, "peft_config", None) else []


def _own_name(key: str, module: nn.Module) -> str:
    """A key of the file as ``module`` calls it, whichever version of transformers wrote it."""
    key = key.removeprefix(PREFIX)
    if not hasattr(module, "text_model"):
        return key.removeprefix("text_model.")
    return f"text_model.{key}" if key.startswith("encoder.") else key


def _millions(structure: Mapping[str, Any]) -> str:
    return f"{structure['parameters'] / 1e6:.1f} M parameters"
