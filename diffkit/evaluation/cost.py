"""What a UNet costs: its parameters, and the multiplications of one call."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from diffkit.models.twin import empty_unet, example_inputs


@dataclass(frozen=True)
class Macs:
    """Multiply-accumulate operations of one call.

    Attributes:
        layers: of convolutions and linear layers, which is what ``thop`` and so the tables of BK-SDM count.
        attention: of the products of queries, keys and values.
    """

    layers: int
    attention: int

    @property
    def total(self) -> int:
        """Both together."""
        return self.layers + self.attention


def unet_macs(config: Mapping[str, Any], size: tuple[int, int] | None = None, tokens: int = 77) -> Macs:
    """Counts the operations of one call of a UNet, for one picture; nothing is computed.

    Args:
        config: the ``config`` of a ``UNet2DConditionModel``, or its arguments.
        size: height and width of the latents; the UNet's own where None.
        tokens: of the text.
    """
    unet = empty_unet(config)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        unet(**example_inputs(unet.config, size, tokens))
    flops = counter.get_flop_counts()["Global"]
    attention = sum(count for name, count in flops.items() if "attention" in str(name) or "bmm" in str(name))
    return Macs((sum(flops.values()) - attention) // 2, attention // 2)  # a MAC is two floating-point operations


def count_parameters(network: nn.Module) -> int:
    """The number of a network's weights."""
    return sum(parameter.numel() for parameter in network.parameters())
