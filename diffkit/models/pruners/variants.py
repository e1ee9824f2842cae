"""The published students, as lists of what is removed from their teacher.

A name is a path in the teacher; ``*`` and ``[01]`` stand for several within one part of it. Layers that follow a
removed one move up: where ``up_blocks.1.resnets.1`` goes, the third layer becomes the student's second.

Sources: BK-SDM (Kim et al. 2023, arXiv 2305.15798), segmind distill-sd, diffengine ``DistillSDXL``, SSD-1B and
Segmind-Vega (diffusers pull request 5400).
"""

from typing import Literal

#: Names that ``variant`` takes. BK-SDM's v2 students of Stable Diffusion 2 are the same rules on its config.
Variant = Literal["sd_small", "sd_tiny", "bk_base", "bk_small", "bk_tiny", "sdxl_small", "sdxl_tiny", "ssd_1b", "vega"]

#: The second layer of each level, on the way down and on the way up.
_SECOND_LAYERS = ("down_blocks.*.resnets.1", "down_blocks.*.attentions.1",
                  "up_blocks.*.resnets.1", "up_blocks.*.attentions.1")
_MID = ("mid_block",)
#: The fourth level, and what leads to it.
_LOWEST_LEVEL = ("down_blocks.3", "down_blocks.2.downsamplers", "up_blocks.0")
#: All of the middle block but its first convolutions.
_MID_ATTENTION = ("mid_block.attentions", "mid_block.resnets.1")

VARIANTS: dict[str, tuple[str, ...]] = {
    "sd_small": _SECOND_LAYERS,  # segmind's small is BK's base
    "sd_tiny": _SECOND_LAYERS + _MID + _LOWEST_LEVEL,  # segmind's tiny is BK's tiny
    "bk_base": _SECOND_LAYERS,
    "bk_small": _SECOND_LAYERS + _MID,
    "bk_tiny": _SECOND_LAYERS + _MID + _LOWEST_LEVEL,
    "sdxl_small": _SECOND_LAYERS,
    "sdxl_tiny": _SECOND_LAYERS + _MID,  # all three levels stay, unlike in SD's tiny
    # of ten transformer blocks the first four stay, of two both or the first; up_blocks.0.attentions.2 keeps ten
    "ssd_1b": (*_MID_ATTENTION, "down_blocks.2.attentions.*.transformer_blocks.[456789]",
               "up_blocks.0.attentions.[01].transformer_blocks.[456789]",
               "up_blocks.1.attentions.[12].transformer_blocks.1"),
    "vega": (*_MID_ATTENTION, "down_blocks.1.attentions.*.transformer_blocks.1",
             "down_blocks.2.attentions.*.transformer_blocks.[23456789]",
             "up_blocks.0.attentions.*.transformer_blocks.[23456789]",
             "up_blocks.1.attentions.*.transformer_blocks.1")}
