"""Writing tensors to safetensors files."""

from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor


def save_tensors(tensors: Mapping[str, Tensor], path: Path,
                 metadata: Mapping[str, str] | None = None) -> None:
    """Writes detached copies of ``tensors``, which may share memory or lie on any device."""
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    save_file(plain, str(path), metadata={"format": "pt", **(metadata or {})})
