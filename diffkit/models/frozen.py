"""What a training leaves alone: which networks are frozen, and their number format."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from diffkit.utils.device import DTYPES

#: What switches gradient checkpointing on: in diffusers, in transformers, and in transformers before 5.
_CHECKPOINTING = ("enable_gradient_checkpointing", "activation_checkpointing_enable", "gradient_checkpointing_enable")


def is_frozen(module: nn.Module) -> bool:
    """Whether no parameter of a network is trained."""
    return not any(parameter.requires_grad for parameter in module.parameters())


def floating_dtype(network: nn.Module) -> torch.dtype:
    """The number format of a network's first floating-point weight, which the ``dtype`` of diffusers is too.

    diffusers looks at every module before it says so, which in a step costs more than many an operation.
    """
    return next(parameter.dtype for parameter in network.parameters() if parameter.is_floating_point())


def cast_frozen(components: Mapping[str, nn.Module], dtype: str) -> None:
    """Casts the weights that are not trained; those of the VAE stay in float32, where its outputs are finite.

    Args:
        components: networks by their pipeline names.
        dtype: ``float32``, ``bfloat16``, ``float16``, or ``auto``: bfloat16 on CUDA and float32 on a CPU.

    Raises:
        ValueError: ``dtype`` is none of these.
    """
    if dtype == "auto":
        dtype = "bfloat16" if torch.cuda.is_available() else "float32"
    if dtype not in DTYPES:
        raise ValueError(f"frozen_dtype is {dtype!r}; allowed: auto, {', '.join(DTYPES)}.")
    for name, component in components.items():
        if name != "vae":
            for parameter in component.parameters():
                if not parameter.requires_grad:
                    parameter.data = parameter.data.to(getattr(torch, dtype))


def checkpoint_gradients(components: Mapping[str, nn.Module]) -> None:
    """Switches gradient checkpointing on in what is trained, and in the UNet where gradients pass to a text encoder."""
    trained = {name for name, component in components.items() if not is_frozen(component)}
    if any(name.startswith("text_encoder") for name in trained):
        trained.add("unet")
    for name, component in components.items():
        if name in trained:
            method = next(method for method in _CHECKPOINTING if hasattr(component, method))
            getattr(component, method)()


def frozen_tensors(components: Mapping[str, nn.Module]) -> dict[str, dict[str, Tensor]]:
    """The weights that are not trained, by component and name."""
    return {component_name: {name: parameter for name, parameter in component.named_parameters()
                             if not parameter.requires_grad}
            for component_name, component in components.items()}
