"""Pipelines with random weights at a chosen size: what the benchmarks train. Time does not ask what weights say.

``proxy`` is Stable Diffusion 1.5 with a fifth of all channels. At 256 px its parts have about the same shares of a
step as those of the real one at 512 px, so a ratio of times measured there is an honest one. ``sd15`` is the real
size.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL
from torch.utils.flop_counter import FlopCounterMode

from diffkit.models.families.sd import StableDiffusion
from diffkit.models.families.unet_configs import UNETS

#: The anatomies that share parts with Stable Diffusion 1.5: the whole and its block-removed students.
UNET_KINDS = ("sd15", "small-sd", "bk-small", "tiny-sd")

_CORPUS = ["a photo of a dog in a bucket", "a photo of a cat", "a painting of a sks toy in a style"] * 2


@dataclass(frozen=True)
class Size:
    """How wide the parts of a pipeline are.

    Attributes:
        unet: channels of the levels, of which a UNet takes as many as it has.
        vae: channels of the levels.
        groups: of the normalisations, in the UNet and in the VAE.
        text: width of the text encoder, and so of what the UNet attends to.
        text_layers: of the text encoder.
        text_heads: of the text encoder.
        pixels: height and width of the pictures it stands for.
    """

    unet: tuple[int, ...]
    vae: tuple[int, ...]
    groups: tuple[int, int]
    text: int
    text_layers: int
    text_heads: int
    pixels: int


#: By name. ``tiny`` is for tests; its VAE has only two levels.
SIZES: dict[str, Size] = {
    "tiny": Size((8, 16, 32, 32), (8, 16), (4, 4), 32, 2, 4, 32),
    "proxy": Size((96, 192, 384, 384), (48, 96, 192, 192), (32, 12), 224, 3, 14, 256),
    "sd15": Size((320, 640, 1280, 1280), (128, 256, 512, 512), (32, 32), 768, 12, 12, 512),
}


def pipeline_spec(size: str = "proxy", unet: str = "sd15") -> dict[str, Any]:
    """What ``family.scratch`` of a model is given to build a pipeline.

    Args:
        size: of :data:`SIZES`.
        unet: of :data:`UNET_KINDS`.

    Raises:
        ValueError: a name is unknown.
    """
    chosen = _known("size", size, SIZES)
    anatomy = _known("unet", unet, {kind: UNETS[kind] for kind in UNET_KINDS})
    levels = len(anatomy["block_out_channels"])
    reduction = 2 ** (len(chosen.vae) - 1)
    return {
        "unet": {**anatomy, "block_out_channels": chosen.unet[:levels], "norm_num_groups": chosen.groups[0],
                 "cross_attention_dim": chosen.text, "sample_size": chosen.pixels // reduction,
                 **({"attention_head_dim": 2} if size == "tiny" else {})},
        "vae": {"block_out_channels": chosen.vae, "layers_per_block": 2, "norm_num_groups": chosen.groups[1],
                "latent_channels": 4, "sample_size": chosen.pixels,
                "down_block_types": ("DownEncoderBlock2D",) * len(chosen.vae),
                "up_block_types": ("UpDecoderBlock2D",) * len(chosen.vae)},
        "text_encoder": {"hidden_size": chosen.text, "intermediate_size": 4 * chosen.text,
                         "num_hidden_layers": chosen.text_layers, "num_attention_heads": chosen.text_heads,
                         "projection_dim": chosen.text, "hidden_act": "quick_gelu"},
        "tokenizer": {"corpus": _CORPUS},
        "scheduler": {}}


def _known(argument: str, given: str, allowed: Mapping[str, Any]) -> Any:
    if given not in allowed:
        raise ValueError(f"{argument} must be one of {', '.join(allowed)}, got {given!r}")
    return allowed[given]


def build_pipeline(size: str = "proxy", unet: str = "sd15", seed: int = 0) -> Any:
    """A ``StableDiffusionPipeline`` with random weights; see :func:`pipeline_spec` for what it may be.

    The same arguments give the same weights, but for ``unet``.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        family = StableDiffusion(scratch=pipeline_spec(size, unet))
        return family.pipeline(family.load(None))


def save_pipeline(folder: str | Path, size: str = "proxy", unet: str = "sd15", seed: int = 0) -> Path:
    """Writes :func:`build_pipeline` as a diffusers folder, unless a whole one is there, and returns the folder."""
    folder = Path(folder)
    if not (folder / "model_index.json").is_file():  # written last
        build_pipeline(size, unet, seed).save_pretrained(folder)
    return folder


@cache
def vae_encode_flops(size: str, pixels: int | None = None) -> int:
    """Floating-point operations of encoding one picture, counted without computing anything.

    Args:
        size: of :data:`SIZES`.
        pixels: height and width; those of the size where None.
    """
    side = pixels or _known("size", size, SIZES).pixels
    with torch.device("meta"):
        vae = AutoencoderKL(**pipeline_spec(size)["vae"])
        picture = torch.empty(1, 3, side, side)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        vae.encode(picture)
    return sum(counter.get_flop_counts()["Global"].values())
