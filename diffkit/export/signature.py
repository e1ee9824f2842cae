"""The structure of a network in a few numbers, so that an adapter is not put onto another model."""

import hashlib
from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn


def base_tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yields names and parameters of ``module`` as they were before PEFT put adapters into it."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    added = tuple(
        f"{name}.{child}."
        for name, layer in module.named_modules() if isinstance(layer, BaseTunerLayer)
        for child, _ in layer.named_children() if child != "base_layer")
    for name, parameter in module.named_parameters():
        if not name.startswith(added):
            yield name.replace(".base_layer.", "."), parameter


def signature(module: nn.Module) -> dict[str, Any]:
    """Describes the structure of a network, adapters and token embeddings apart.

    Token embeddings are left out because a vocabulary may grow without any harm to an adapter.

    Returns:
        ``parameters``: their number; ``shapes``: a hash of all names and shapes.
    """
    embeddings = tuple(
        name + "." for name, layer in module.named_modules() if isinstance(layer, nn.Embedding))
    shapes = {name: tuple(parameter.shape) for name, parameter in base_tensors(module)
              if not name.startswith(embeddings)}
    digest = hashlib.sha256("\n".join(f"{name} {shapes[name]}" for name in sorted(shapes)).encode())
    count = sum(_product(shape) for shape in shapes.values())
    return {"parameters": count, "shapes": digest.hexdigest()[:16]}


def _product(shape: tuple[int, ...]) -> int:
    result = 1
    for side in shape:
        result *= side
    return result
