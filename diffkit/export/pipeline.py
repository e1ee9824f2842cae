"""A whole pipeline as a diffusers folder."""

from pathlib import Path
from typing import TYPE_CHECKING

from torch import nn

from diffkit.export.merge import merged_copy
from diffkit.utils.quiet import no_loading_bars

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline


def write_pipeline(pipe: "DiffusionPipeline", folder: Path) -> list[Path]:
    """Writes ``pipe`` with ``save_pretrained`` as safetensors; ``DiffusionPipeline.from_pretrained`` reads
    it.

    Adapters are merged into the weights that are written, for a folder with both would apply them twice. The
    live modules stay as they are.
    """
    parts = {name: merged_copy(part) if isinstance(part, nn.Module) else part
             for name, part in pipe.components.items()}
    changed = {name: part for name, part in parts.items() if part is not pipe.components[name]}
    plain = type(pipe)(**{**_constructor_arguments(pipe), **changed}) if changed else pipe
    with no_loading_bars():
        plain.save_pretrained(str(folder), safe_serialization=True)
    return [folder / "model_index.json"]


def _constructor_arguments(pipe: "DiffusionPipeline") -> dict[str, object]:
    """What the pipeline was made of: its parts, and its settings such as ``requires_safety_checker``."""
    settings = {name: value for name, value in pipe.config.items()
                if not name.startswith("_") and name not in pipe.components}
    return {**pipe.components, **settings}
