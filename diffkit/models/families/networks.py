"""Networks of a model, loaded whole or not at all."""

from collections.abc import Iterable, Mapping
from typing import Any

import diffusers
import torch
import transformers
from torch import nn

from diffkit.export.tensors import names_not_finite
from diffkit.utils.device import dtype_option
from diffkit.utils.pretrained import PretrainedError
from diffkit.utils.pretrained_files import ModelFiles, reading
from diffkit.utils.vocabulary import vocabulary_fault

#: The networks that a training or sampling depends on; a safety checker is none of them.
NETWORKS = ("unet", "vae", "text_encoder", "text_encoder_2")


def load_network(kind: Any, model: ModelFiles, part: str, dtype: torch.dtype = torch.float32) -> Any:
    """Loads one network.

    Args:
        kind: its class, of diffusers or transformers.
        model: where it comes from; ``ModelFiles.check`` has allowed it.
        part: its folder; an empty text is the model itself.
        dtype: the number format of its weights.

    Raises:
        PretrainedError: it is damaged, lacks tensors, has some of another shape or some that are not finite.
    """
    options: dict[str, Any] = {"output_loading_info": True, **model.safetensors_option(part)}
    if issubclass(kind, transformers.PreTrainedModel):  # it tells them; diffusers raises an error that names them
        options |= {"ignore_mismatched_sizes": True, "subfolder": part, "dtype": dtype}
    else:
        options |= {"subfolder": part or None, **dtype_option(dtype)}
    try:
        with reading(model):
            network, info = kind.from_pretrained(model.source, **options)
    except Exception as error:
        if model.weights(part) != "pickle":
            raise
        raise PretrainedError(
            model.given, f"cannot be loaded: the pickled weights{f' of {part}' if part else ''} are damaged, or hold "
            "more than tensors, which is all that is read from them.", model.key) from error
    if fault := network_fault(network, info):
        raise PretrainedError(model.given, f"cannot be right: its {part or 'network'} {fault}.", model.key)
    return network


def load_networks(model: ModelFiles, names: Iterable[str], dtype: torch.dtype) -> dict[str, Any]:
    """Loads those of some networks of a pipeline that are in :data:`NETWORKS`, with the classes of its index.

    Raises:
        PretrainedError: as :func:`load_network`.
    """
    with reading(model):
        index = diffusers.DiffusionPipeline.load_config(model.source)
    libraries = {"diffusers": diffusers, "transformers": transformers}
    found = {}
    for name in names:
        library, kind = index.get(name) or ("", "")
        known = getattr(libraries.get(library), str(kind), None)
        if name in NETWORKS and known is not None:
            found[name] = load_network(known, model, name, dtype)
    return found


def load_tokenizer(model: ModelFiles, part: str, encoder: nn.Module) -> transformers.CLIPTokenizer:
    """Loads a tokenizer.

    Args:
        model: where it comes from.
        part: its folder.
        encoder: the text encoder behind it.

    Raises:
        PretrainedError: it is damaged, or has a vocabulary that cannot be right.
    """
    try:
        tokenizer = transformers.CLIPTokenizer.from_pretrained(model.source, subfolder=part)
    except Exception as error:  # the package tokenizers raises Exception itself
        said = str(error).strip().splitlines() or [type(error).__name__]
        raise PretrainedError(model.given, f"lacks its {part}, or it is damaged: {said[0]}", model.key) from error
    check_tokenizer(model, part, tokenizer, encoder)
    return tokenizer


def check_tokenizer(model: ModelFiles, part: str, tokenizer: Any, encoder: nn.Module | None) -> None:
    """Refuses a tokenizer that cannot be right, in front of a text encoder.

    Raises:
        PretrainedError: it says what is impossible.
    """
    if fault := vocabulary_fault(tokenizer, encoder):
        raise PretrainedError(model.given, f"cannot be right: its {part} {fault}.", model.key)


def network_fault(network: nn.Module, info: Mapping[str, Any]) -> str:
    """What is wrong with a network that was loaded; an empty text where nothing is.

    Where a tensor is missing, the libraries fill it with random numbers and go on.

    Args:
        network: the network.
        info: what ``from_pretrained(..., output_loading_info=True)`` gives with it.

    Returns:
        The rest of a sentence that begins with the network's name.
    """
    if missing := sorted(map(str, info.get("missing_keys", ()))):
        return f"lacks {len(missing)} tensors that its config asks for, such as {missing[0]}"
    if mismatched := sorted(info.get("mismatched_keys", ()), key=str):
        name, found, wanted = mismatched[0]
        return (f"has {len(mismatched)} tensors of another shape than its config says: {name} is {_shape(found)} "
                f"instead of {_shape(wanted)}")
    tensors = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    if bad := names_not_finite(tensors):
        return f"holds values that are not finite, in {len(bad)} of {len(tensors)} tensors; the first is {bad[0]}"
    return ""


def _shape(shape: Any) -> str:
    return "x".join(map(str, shape)) or "a number"
