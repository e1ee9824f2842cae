"""The size of the pictures that a model was made for, told from the configs of its parts."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from diffkit.utils.pretrained import unroll_pretrained

#: Side in pixels of models of the hub that shipped configs name, as their configs on the hub say.
HUB_SIZES = {
    "stable-diffusion-v1-5/stable-diffusion-v1-5": 512,
    "stabilityai/stable-diffusion-xl-base-1.0": 1024,
    "segmind/small-sd": 512,
    "segmind/tiny-sd": 512,
}


def native_resolution(unet: Mapping[str, Any], vae: Mapping[str, Any]) -> tuple[int, int] | None:
    """Returns height and width in pixels: the UNet's ``sample_size`` times the factor by which the VAE reduces.

    Args:
        unet: config of a ``UNet2DConditionModel``.
        vae: config of an ``AutoencoderKL``.

    Returns:
        None where the config does not say it.
    """
    size, blocks = unet.get("sample_size"), vae.get("block_out_channels")
    if not size or not blocks:
        return None
    height, width = (size, size) if isinstance(size, int) else size
    factor = 2 ** (len(blocks) - 1)
    return height * factor, width * factor


def native_resolution_of(pretrained: str | Path) -> tuple[int, int] | None:
    """Returns that of a model which is not loaded.

    Args:
        pretrained: as :func:`diffkit.utils.pretrained.resolve_pretrained`.

    Returns:
        None where it cannot be told without the network.
    """
    try:
        source, _ = unroll_pretrained(pretrained)
        if isinstance(source, Path):
            return native_resolution(*(_config(source / part / "config.json") for part in ("unet", "vae")))
    except (OSError, ValueError):  # the check and the training say what is wrong with it
        return None
    side = HUB_SIZES.get(source)
    return (side, side) if side else None


def size_warning(size: tuple[int, int], native: tuple[int, int], source: str) -> str:
    """Returns what to say about pictures whose size is not the model's own.

    Args:
        size: height and width of the pictures, in pixels.
        native: those that the model was made for.
        source: what the model came from, as a config says it.
    """
    given, own = (f"{height} x {width} px" for height, width in (size, native))
    return (
        f"the pictures are {given}, and {source} was made for {own} (the unet's sample_size times the reduction of the "
        "vae): results will be worse than they could be"
    )


def _config(path: Path) -> dict[str, Any]:
    content = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict):
        raise ValueError(f"{path} is no object")
    return content
