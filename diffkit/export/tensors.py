"""Reading and writing tensors in safetensors files."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from diffkit.utils.weight_files import safetensors_fault


def save_tensors(tensors: Mapping[str, Tensor], path: Path,
                 metadata: Mapping[str, str] | None = None) -> None:
    """Writes detached copies of ``tensors``, which may share memory or lie on any device."""
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    save_file(plain, str(path), metadata={"format": "pt", **(metadata or {})})


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Reads a safetensors file that anybody may have made.

    Raises:
        ValueError: it is none, or damaged, or holds a value that is not finite.
    """
    if fault := safetensors_fault(path):
        raise ValueError(f"{path} is no sound safetensors file: {fault}.")
    tensors = load_file(path)
    if bad := names_not_finite(tensors):
        raise ValueError(f"{path} holds values that are not finite, in {len(bad)} of {len(tensors)} tensors; the first "
                         f"is {bad[0]!r}.")
    return tensors


def names_not_finite(tensors: Mapping[str, Tensor]) -> list[str]:
    """Names of the tensors that hold an infinite value or none at all (NaN)."""
    return [name for name, value in tensors.items() if value.is_floating_point() and not _finite(value)]


def _finite(value: Tensor) -> bool:
    wide = value.float() if value.element_size() == 1 else value  # the 8-bit formats can neither be added nor asked
    total = wide.sum(dtype=torch.promote_types(wide.dtype, torch.float32))
    # A finite sum has finite terms, and is ten times faster to have. Finite terms may still have an infinite sum.
    return bool(total.isfinite() or wide.isfinite().all())
