"""What is left of a UNet, and the config of a UNet that is just that."""

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Any

from torch import nn

from diffkit.utils.near import did_you_mean

_WITHOUT_ATTENTION = {"CrossAttnDownBlock2D": "DownBlock2D", "CrossAttnUpBlock2D": "UpBlock2D"}
#: Entries of a config that may have one value for each level.
_PER_LEVEL = ("block_out_channels", "attention_head_dim", "num_attention_heads", "cross_attention_dim",
              "only_cross_attention")


def removed_layers(unet: nn.Module, patterns: Iterable[str]) -> set[str]:
    """The layers of ``unet`` that the patterns name.

    Args:
        unet: the teacher.
        patterns: paths; within one part of a path ``*``, ``?`` and ``[...]`` are as in names of files.

    Raises:
        ValueError: a pattern matches nothing; near names are offered.
    """
    names = [name for name, _ in unet.named_modules() if name]
    found: set[str] = set()
    for pattern in patterns:
        parts = pattern.split(".")
        hits = {name for name in names if name.count(".") == len(parts) - 1
                and all(map(fnmatchcase, name.split("."), parts))}
        if not hits:
            raise ValueError(f"{pattern!r} names no layer of this UNet{did_you_mean(pattern, names)}")
        found |= hits
    return found


class Layout:
    """What is left of a UNet when layers are removed.

    Args:
        unet: the teacher; its values are not looked at.
        removed: paths of layers.
    """

    def __init__(self, unet: nn.Module, removed: set[str]) -> None:
        self.unet: Any = unet
        self.removed = removed
        self._kept = {name: [i for i, _ in enumerate(layers) if not self._is_removed(f"{name}.{i}")]
                      for name, layers in unet.named_modules() if isinstance(layers, nn.ModuleList)}

    def _is_removed(self, path: str) -> bool:
        return path in self.removed or any(path.startswith(f"{other}.") for other in self.removed)

    def kept(self, path: str) -> list[int]:
        """Which entries of a list of layers stay; none where there is no such list."""
        return [] if self._is_removed(path) else self._kept.get(path, [])

    def source(self, name: str) -> str:
        """The name in the teacher of what is called ``name`` in the student.

        Raises:
            KeyError: the teacher has no counterpart left.
        """
        path: list[str] = []
        for part in name.split("."):
            siblings = self._kept.get(".".join(path)) if part.isdigit() else None
            if siblings is not None and int(part) >= len(siblings):
                raise KeyError(name)
            path.append(part if siblings is None else str(siblings[int(part)]))
        return ".".join(path)

    # --- the config

    def config(self) -> dict[str, Any]:
        """The arguments of a ``UNet2DConditionModel`` with these layers.

        Raises:
            ValueError: diffusers has no such UNet; the message says what would have to go too.
        """
        old = {name: value for name, value in self.unet.config.items() if not name.startswith("_")}
        count = len(self.unet.down_blocks)
        levels = self.kept("down_blocks")
        ups = [count - 1 - i for i in self.kept("up_blocks")][::-1]
        if levels != ups or not levels:
            raise ValueError(f"down blocks {levels} stay, and up blocks of the levels {ups}: a level goes with both "
                             "(the up block of level i is up_blocks."
                             f"{{{count - 1} - i}}), and one has to stay.")
        layers = [self._layers(level, count - 1 - level) for level in levels]
        down = [self._depths(f"down_blocks.{level}") for level in levels]
        up = [self._depths(f"up_blocks.{count - 1 - level}") for level in levels][::-1]
        new = {**old, **{name: _pick(old[name], levels) for name in _PER_LEVEL if name in old}}
        new["layers_per_block"] = _plain(layers)
        new["down_block_types"] = tuple(_type(old["down_block_types"][level], depths)
                                        for level, depths in zip(levels, down, strict=True))
        new["up_block_types"] = tuple(_type(old["up_block_types"][count - 1 - level], depths)
                                      for level, depths in zip(reversed(levels), up, strict=True))
        new["mid_block_type"], middle = self._middle(old["mid_block_type"])
        return new | _transformer_layers(down, up, middle)

    def _layers(self, level: int, up: int) -> int:
        """Layers of one level on the way down; the way up has one more."""
        down_path, up_path = f"down_blocks.{level}.resnets", f"up_blocks.{up}.resnets"
        down, above = len(self.kept(down_path)), len(self.kept(up_path))
        if not down or above != down + 1:
            raise ValueError(f"{down_path} keeps {down} layers and {up_path} {above}: the way up needs one more than "
                             "the way down, which needs one at least.")
        for path, resnets in ((down_path, down), (up_path, above)):
            attentions = len(self.kept(path.replace("resnets", "attentions")))
            if attentions not in (0, resnets):
                raise ValueError(f"{path} keeps {resnets} layers, with {attentions} attentions: remove the attention "
                                 "of the same number with each of them, or all attentions of the block.")
        return down

    def _depths(self, block: str) -> list[int]:
        """Transformer blocks of each attention of a block."""
        return [len(self.kept(f"{block}.attentions.{i}.transformer_blocks")) for i in self.kept(f"{block}.attentions")]

    def _middle(self, old: str | None) -> tuple[str | None, int | None]:
        """Type of the middle block, and its transformer blocks."""
        if old is None or self._is_removed("mid_block"):
            return None, None
        depths = self._depths("mid_block")
        return (old, depths[0]) if depths else ("UNetMidBlock2D", None)


def _pick(value: Any, levels: list[int]) -> Any:
    return tuple(value[level] for level in levels) if isinstance(value, (list, tuple)) else value


def _plain(values: Sequence[Any]) -> Any:
    """One value where all are the same."""
    return values[0] if all(value == values[0] for value in values) else tuple(values)


def _type(old: str, depths: list[int]) -> str:
    return old if depths else _WITHOUT_ATTENTION.get(old, old)


def _transformer_layers(down: list[list[int]], up: list[list[int]], middle: int | None) -> dict[str, Any]:
    """``transformer_layers_per_block`` and its reverse, as short as the depths allow.

    Args:
        down: depths of the attentions of each level; empty for a level without.
        up: the same of the up blocks.
        middle: depth of the middle block's; it is written in the last level.
    """
    one = [_plain(depths) if depths else 1 for depths in down]
    if middle is not None and not down[-1]:
        one[-1] = middle
    mirrored = [_plain(depths) if depths else level for depths, level in zip(up, reversed(one), strict=True)]
    if one == mirrored[::-1] and all(isinstance(depth, int) for depth in one):
        return {"transformer_layers_per_block": _plain(one), "reverse_transformer_layers_per_block": None}
    return {"transformer_layers_per_block": tuple(one), "reverse_transformer_layers_per_block": tuple(mirrored)}
