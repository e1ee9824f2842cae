"""What can be removed from a UNet so that a UNet is left: the smallest pieces, one by one."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from diffkit.models.pruners.student import prune
from diffkit.models.twin import empty_unet


@dataclass(frozen=True)
class Unit:
    """Layers that go together.

    Attributes:
        name: in words.
        remove: their paths, for ``BlockRemoval.remove``.
        parameters: how many weights go with them.
    """

    name: str
    remove: tuple[str, ...]
    parameters: int


def removable_units(unet: Any) -> list[Unit]:
    """Returns every unit of a ``UNet2DConditionModel``: layers of a level, its attentions, single transformer blocks,
    the middle block and its attention, and the lowest level.

    Args:
        unet: its values are not looked at.
    """
    whole = empty_unet(unet.config)
    total = _count(whole)
    units = []
    for name, remove in _candidates(whole):
        try:
            left = _count(prune(whole, remove))
        except ValueError:  # what is left is no UNet of diffusers
            continue
        units.append(Unit(name, remove, total - left))
    return units


def _candidates(unet: Any) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Names and layers of what may be a unit."""
    last = len(unet.down_blocks) - 1
    for level, block in enumerate(unet.down_blocks):
        down, up = f"down_blocks.{level}", f"up_blocks.{last - level}"
        for layer in range(1, len(block.resnets)):
            remove = [f"{side}.resnets.{layer}" for side in (down, up)]
            remove += [f"{side}.attentions.{layer}" for side in (down, up) if _attentions(unet, side)]
            yield f"layer {layer} of level {level}", tuple(remove)
        both = [f"{side}.attentions" for side in (down, up) if _attentions(unet, side)]
        if both:
            yield f"attentions of level {level}", tuple(both)
        for side in (down, up):
            for i, attention in enumerate(_attentions(unet, side)):
                for k in range(1, len(attention.transformer_blocks)):
                    path = f"{side}.attentions.{i}.transformer_blocks.{k}"
                    yield path, (path,)
    if unet.mid_block is not None:
        yield "middle block", ("mid_block",)
        if getattr(unet.mid_block, "attentions", None) and unet.mid_block.attentions[0] is not None:
            layers = tuple(f"mid_block.resnets.{i}" for i in range(1, len(unet.mid_block.resnets)))
            yield "attention of the middle block", ("mid_block.attentions", *layers)
    if last:
        yield "lowest level", (f"down_blocks.{last}", f"down_blocks.{last - 1}.downsamplers", "up_blocks.0")


def _attentions(unet: Any, block: str) -> Any:
    return getattr(unet.get_submodule(block), "attentions", [])


def _count(network: Any) -> int:
    return sum(parameter.numel() for parameter in network.parameters())
