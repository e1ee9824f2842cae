"""Adapters melted into the weights that they stand beside, and learned rows into their table."""

from copy import deepcopy
from typing import Any

import torch
from torch import nn


def has_adapters(module: nn.Module) -> bool:
    """Whether PEFT has put adapters into ``module``, or a tuner a layer that can be ``folded()`` into a plain one."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    return any(isinstance(layer, BaseTunerLayer) or hasattr(layer, "folded") for layer in module.modules())


def merge_adapters(module: nn.Module) -> nn.Module:
    """Adds the active adapters to the weights and takes them out, in place; learned rows become a part of their table.

    The output stays the same up to rounding, and every name is what it was without adapters.

    Returns:
        The same module.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer

    adapted = [(name, layer) for name, layer in module.named_modules() if isinstance(layer, BaseTunerLayer)]
    for name, layer in adapted:
        with torch.no_grad():
            layer.merge()
        parent, _, child = name.rpartition(".")
        setattr(module.get_submodule(parent), child, layer.get_base_layer())
    if adapted:
        forget_adapters(module)
    _fold(module)
    return module


def forget_adapters(module: Any) -> None:
    """Lets diffusers and transformers know, when they save ``module``, that there are no adapters in it any more."""
    module._hf_peft_config_loaded = False
    if hasattr(module, "peft_config"):
        del module.peft_config


def _fold(module: Any) -> None:
    """Puts a plain layer in place of each one that has a method ``folded``."""
    for name, layer in [(name, layer) for name, layer in module.named_modules() if hasattr(layer, "folded")]:
        parent, _, child = name.rpartition(".")
        plain = layer.folded()
        setattr(module.get_submodule(parent), child, plain)
        if isinstance(plain, nn.Embedding) and hasattr(module, "get_input_embeddings") \
                and module.get_input_embeddings() is plain:
            module.config.vocab_size = plain.num_embeddings


def merged_copy(module: nn.Module) -> nn.Module:
    """A copy of ``module`` with its adapters merged; the module itself where it has none."""
    return merge_adapters(deepcopy(module)) if has_adapters(module) else module
