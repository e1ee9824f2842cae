"""What stands between a student's layer and the teacher's, where they are not compared as they are."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class LinearConnector(nn.Module):
    """A trained linear map over the channels of a feature, which begins as the identity as far as that can be.

    Args:
        channels: of the student's layer.
        wanted: of the teacher's layer.
    """

    def __init__(self, channels: int, wanted: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.eye(wanted, channels))
        self.bias = nn.Parameter(torch.zeros(wanted))

    def forward(self, feature: Tensor) -> Tensor:
        """Maps [B, channels, h, w] to [B, wanted, h, w], or [B, tokens, channels] to [B, tokens, wanted]."""
        if feature.ndim == 4:
            return F.conv2d(feature, self.weight[:, :, None, None].to(feature.dtype), self.bias.to(feature.dtype))
        return F.linear(feature, self.weight.to(feature.dtype), self.bias.to(feature.dtype))
