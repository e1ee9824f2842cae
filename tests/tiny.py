"""Tiny pipelines with random weights for tests: the anatomy of the real ones, a few channels wide.

The UNets have the levels, layers and block types of Stable Diffusion and of SDXL, so that adapters, block
removal and distillation meet every kind of layer. Pictures are 32 pixels wide, latents 16.
"""

from copy import deepcopy
from pathlib import Path
from typing import Any

import torch

from diffkit.models.families.sd import StableDiffusion
from diffkit.models.families.sdxl import StableDiffusionXL
from diffkit.models.families.unet_configs import SD15, SDXL

CORPUS = ["a photo of a dog in a bucket", "a photo of a cat", "a painting of a sks toy in a style"] * 2

_TEXT = {"hidden_size": 32, "intermediate_size": 37, "num_hidden_layers": 3, "num_attention_heads": 4,
         "projection_dim": 32, "hidden_act": "quick_gelu"}
_VAE = {"block_out_channels": [8, 16], "in_channels": 3, "out_channels": 3, "latent_channels": 4,
        "down_block_types": ["DownEncoderBlock2D"] * 2, "up_block_types": ["UpDecoderBlock2D"] * 2,
        "norm_num_groups": 4, "sample_size": 32}
_SMALL = {"sample_size": 16, "norm_num_groups": 4, "attention_head_dim": 2}

SD_SPEC: dict[str, Any] = {
    "unet": {**SD15, **_SMALL, "block_out_channels": (8, 16, 32, 32), "cross_attention_dim": 32},
    "vae": _VAE, "tokenizer": {"corpus": CORPUS}, "text_encoder": _TEXT}

SDXL_SPEC: dict[str, Any] = {
    "unet": {**SDXL, **_SMALL, "attention_head_dim": (2, 4, 4), "block_out_channels": (8, 16, 32),
             "cross_attention_dim": 64, "transformer_layers_per_block": (1, 1, 2),
             "addition_time_embed_dim": 8, "projection_class_embeddings_input_dim": 8 * 6 + 32},
    "vae": _VAE, "tokenizer": {"corpus": CORPUS}, "text_encoder": _TEXT, "text_encoder_2": _TEXT}


def tiny_sd_pipeline(seed: int = 0, unet: dict[str, Any] | None = None) -> Any:
    """A Stable Diffusion pipeline with random weights; ``unet`` changes the arguments of its UNet."""
    return _pipeline(StableDiffusion, SD_SPEC, seed, unet)


def tiny_sdxl_pipeline(seed: int = 0, unet: dict[str, Any] | None = None) -> Any:
    """A Stable Diffusion XL pipeline with random weights; ``unet`` changes the arguments of its UNet."""
    return _pipeline(StableDiffusionXL, SDXL_SPEC, seed, unet)


def tiny_sd(folder: str | Path, seed: int = 0, unet: dict[str, Any] | None = None) -> Path:
    """Saves :func:`tiny_sd_pipeline` as a diffusers folder and returns the folder."""
    tiny_sd_pipeline(seed, unet).save_pretrained(folder)
    return Path(folder)


def tiny_sdxl(folder: str | Path, seed: int = 0, unet: dict[str, Any] | None = None) -> Path:
    """Saves :func:`tiny_sdxl_pipeline` as a diffusers folder and returns the folder."""
    tiny_sdxl_pipeline(seed, unet).save_pretrained(folder)
    return Path(folder)


def _pipeline(family: Any, spec: dict[str, Any], seed: int, unet: dict[str, Any] | None) -> Any:
    spec = deepcopy(spec)
    spec["unet"].update(unet or {})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        built = family(scratch=spec)
        return built.pipeline(built.load(None))
