"""Where a VAE comes from: a pipeline, or a folder or hub id of its own."""

from pathlib import Path

import torch
from diffusers import AutoencoderKL

from diffkit.models.families.networks import load_network
from diffkit.utils.pretrained import as_the_user_named, resolve_pretrained
from diffkit.utils.pretrained_files import ModelFiles, find_model


def find_vae(source: str | Path) -> ModelFiles:
    """Looks for the VAE that is to take the place of a model's own, and loads nothing.

    Args:
        source: a packaged name, a diffusers folder, the folder of a VAE, or a hub id of either kind.

    Raises:
        PretrainedError: it is none of these.
    """
    folder = Path(source).expanduser()
    if (folder / "config.json").is_file():
        return find_model(folder, key="vae")
    with as_the_user_named(pretrained="vae"):
        return find_model(resolve_pretrained(source), key="vae")


def vae_part(model: ModelFiles) -> str:
    """The folder of the VAE in ``model``; an empty text where ``model`` is the VAE."""
    return "" if "config.json" in model.files and "vae/config.json" not in model.files else "vae"


def load_vae(model: ModelFiles, dtype: torch.dtype = torch.float32) -> AutoencoderKL:
    """Loads the VAE of a pipeline, or one that stands alone.

    Args:
        model: of :func:`find_vae`, or the pipeline itself; ``ModelFiles.check`` has allowed it.
        dtype: the number format of its weights.

    Raises:
        PretrainedError: it is damaged.
    """
    return load_network(AutoencoderKL, model, vae_part(model), dtype)
