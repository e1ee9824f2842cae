"""Which layers of a student are compared with which of its teacher: the lists of the published students.

Sources: BK-SDM (``src/kd_train_text_to_image.py``), segmind distill-sd (``distill_training.py``), diffengine
(``DistillSDXL``, ``SSD1B``). BK-SDM never compares the middle block, not even where the student has one. segmind's tiny
student compares its lowest level with the teacher's first up block, BK's tiny the last attention layer before it.
"""

from collections.abc import Iterable
from typing import Literal

#: Names that ``pairs`` takes; ``blocks`` is every block of the student with the teacher's of the same name.
PairSet = Literal["blocks", "bk_base", "bk_small", "bk_tiny", "sd_small", "sd_tiny", "sdxl_small", "sdxl_tiny",
                  "ssd_1b", "vega"]

#: (path in the student, path in the teacher)
Pairs = tuple[tuple[str, str], ...]


def _same(paths: Iterable[str]) -> Pairs:
    return tuple((path, path) for path in paths)


def _blocks(levels: int) -> tuple[Pairs, Pairs]:
    """The down blocks and the up blocks of a UNet with so many levels, each with its own name."""
    return tuple(_same(f"{side}_blocks.{i}" for i in range(levels)) for side in ("down", "up"))  # type: ignore[return-value]


_DOWN4, _UP4 = _blocks(4)
_DOWN3, _UP3 = _blocks(3)
_MID: Pairs = (("mid_block", "mid_block"),)
#: up blocks of a student that lost its lowest level
_SHIFTED: Pairs = (("up_blocks.0", "up_blocks.1"), ("up_blocks.1", "up_blocks.2"), ("up_blocks.2", "up_blocks.3"))
_SSD_1B: Pairs = (
    *_same(f"down_blocks.{i}.resnets.{j}" for i in range(3) for j in range(2)),
    *_same(f"down_blocks.{i}.attentions.{j}" for i in (1, 2) for j in range(2)),
    ("mid_block.resnets.0", "mid_block.resnets.1"),
    *_same(f"up_blocks.{i}.resnets.{j}" for i in range(3) for j in range(3)),
    *_same(f"up_blocks.{i}.attentions.{j}" for i in (0, 1) for j in range(3)))

PAIRS: dict[str, Pairs] = {
    "bk_base": _DOWN4 + _UP4,
    "bk_small": _DOWN4 + _UP4,
    "bk_tiny": (*_DOWN4[:2], ("down_blocks.2.attentions.0.proj_out", "down_blocks.2.attentions.1.proj_out"),
                *_SHIFTED),
    "sd_small": _DOWN4 + _MID + _UP4,
    "sd_tiny": (*_DOWN4[:2], ("down_blocks.2", "up_blocks.0"), *_SHIFTED),
    "sdxl_small": _DOWN3 + _MID + _UP3,
    "sdxl_tiny": (*_DOWN3[:2], ("down_blocks.2", "mid_block"), *_UP3),
    "ssd_1b": _SSD_1B,
    "vega": _SSD_1B}
