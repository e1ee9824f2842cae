"""The UNets of well-known models, as arguments of ``diffusers.UNet2DConditionModel``.

They serve to build a model of the right anatomy without its weights: to count parameters, to measure, to
test, and to give a pruned student its config. Source: the ``unet/config.json`` of the models named; the small
ones are the block-removed UNets of BK-SDM (Kim et al. 2023, arXiv 2305.15798), two of which segmind
published.
"""

from typing import Any

_CROSS_DOWN, _DOWN = "CrossAttnDownBlock2D", "DownBlock2D"
_CROSS_UP, _UP = "CrossAttnUpBlock2D", "UpBlock2D"

#: Stable Diffusion 1.4 and 1.5: 859,520,964 parameters.
SD15: dict[str, Any] = {
    "sample_size": 64, "in_channels": 4, "out_channels": 4, "layers_per_block": 2,
    "block_out_channels": (320, 640, 1280, 1280), "cross_attention_dim": 768, "attention_head_dim": 8,
    "down_block_types": (_CROSS_DOWN, _CROSS_DOWN, _CROSS_DOWN, _DOWN),
    "mid_block_type": "UNetMidBlock2DCrossAttn",
    "up_block_types": (_UP, _CROSS_UP, _CROSS_UP, _CROSS_UP)}

#: segmind small-sd, which is BK-SDM-Base: one layer for each block; 579,384,964 parameters.
SMALL_SD: dict[str, Any] = {**SD15, "layers_per_block": 1}

#: BK-SDM-Small: as small-sd, without the middle block; 482,346,884 parameters.
BK_SMALL: dict[str, Any] = {**SMALL_SD, "mid_block_type": None}

#: segmind tiny-sd, which is BK-SDM-Tiny: the lowest level is gone too; 323,384,964 parameters.
TINY_SD: dict[str, Any] = {
    **BK_SMALL, "block_out_channels": (320, 640, 1280), "down_block_types": (_CROSS_DOWN,) * 3,
    "up_block_types": (_CROSS_UP,) * 3}

#: Stable Diffusion XL base 1.0: 2,567,463,684 parameters.
SDXL: dict[str, Any] = {
    "sample_size": 128, "in_channels": 4, "out_channels": 4, "layers_per_block": 2,
    "block_out_channels": (320, 640, 1280), "cross_attention_dim": 2048, "attention_head_dim": (5, 10, 20),
    "down_block_types": (_DOWN, _CROSS_DOWN, _CROSS_DOWN), "mid_block_type": "UNetMidBlock2DCrossAttn",
    "up_block_types": (_CROSS_UP, _CROSS_UP, _UP), "transformer_layers_per_block": (1, 2, 10),
    "use_linear_projection": True, "addition_embed_type": "text_time", "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816}

#: By the names that the models go by.
UNETS: dict[str, dict[str, Any]] = {
    "sd15": SD15, "small-sd": SMALL_SD, "bk-small": BK_SMALL, "tiny-sd": TINY_SD, "sdxl": SDXL}
