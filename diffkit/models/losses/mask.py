"""Losses over a part of a picture: where it shows something, and not the empty ground around it."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def content_mask(boxes: Tensor, picture: Sequence[int], latents: Sequence[int]) -> Tensor:
    """The latents that lie inside boxes of pixels, without those along the boxes' sides.

    A latent at a side sees the empty ground too, so each box loses one on every side, as in the reference. At least
    one latent is left, the one in the middle: without it the mean over a small box would be 0 / 0. A box that is the
    whole picture keeps all.

    Args:
        boxes: long [B, 4]: top, left, height and width, in pixels.
        picture: height and width of the picture, in pixels.
        latents: height and width of its latents.

    Returns:
        bool [B, 1, h, w].
    """
    top, left, height, width = boxes.unbind(1)
    rows = _inside(top, height, picture[0], latents[0])
    columns = _inside(left, width, picture[1], latents[1])
    whole = (height >= picture[0]) & (width >= picture[1])
    inside = rows[:, :, None] & columns[:, None, :]
    return (inside | whole[:, None, None]).unsqueeze(1)


def _inside(first: Tensor, length: Tensor, pixels: int, cells: int) -> Tensor:
    """Along one direction, bool [B, cells]."""
    begin = first * cells // pixels + 1
    end = (first + length) * cells // pixels - 1
    middle = ((2 * first + length) * cells // (2 * pixels)).clamp(0, cells - 1)
    begin, end = torch.where(end > begin, begin, middle), torch.where(end > begin, end, middle + 1)
    cell = torch.arange(cells, device=first.device)
    return (cell >= begin[:, None]) & (cell < end[:, None])


def masked_losses(loss: Callable[[Tensor, Tensor], Tensor], mask: Tensor, prediction: Tensor, target: Tensor) -> Tensor:
    """The losses of samples over the latents of a mask only.

    Args:
        loss: gives for tensors [B, C, h, w] the mean of each sample, [B]; it must be 0 where both are equal.
        mask: bool [B, 1, h, w], with at least one latent in each sample.
        prediction: [B, C, h, w].
        target: [B, C, h, w].

    Returns:
        [B]: for each sample the mean over its C values at each latent of the mask.
    """
    share = mask.float().flatten(1).mean(1)
    return loss(torch.where(mask, prediction, target.to(prediction)), target) / share
