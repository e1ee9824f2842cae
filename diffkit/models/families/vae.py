"""Where a VAE comes from: a pipeline, or a folder or hub id of its own."""

from pathlib import Path
from typing import Any

from diffusers import AutoencoderKL

from diffkit.utils.pretrained import resolve_pretrained


def load_vae(source: str | Path, **options: Any) -> AutoencoderKL:
    """Loads the VAE of a pipeline, or one that stands alone.

    Args:
        source: a packaged name, a diffusers folder, the folder of a VAE, or a hub id of either kind.
        options: of ``from_pretrained``.

    Raises:
        ValueError: it is none of these.
    """
    folder = Path(source).expanduser()
    if (folder / "config.json").is_file():
        return AutoencoderKL.from_pretrained(folder, **options)
    found = resolve_pretrained(source)
    if isinstance(found, Path):
        return AutoencoderKL.from_pretrained(found, subfolder="vae", **options)
    try:
        return AutoencoderKL.from_pretrained(found, **options)
    except OSError:  # a pipeline on the hub, not a VAE alone
        return AutoencoderKL.from_pretrained(found, subfolder="vae", **options)
