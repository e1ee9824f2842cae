"""A Stable Diffusion XL that begins with what a Stable Diffusion has learned.

Where both have a part, it is copied. Where SDXL has more (a second text encoder, the sizes of the picture, further
transformer layers), the new part begins with no effect: the last linear layer on its way is zero. Where SDXL has less
(attention at the upper level, a lowest level), what Stable Diffusion has there is left out, and training has to make
up for it.

The text encoder of SDXL hands out its last states but one, and so without the LayerNorm at its end. The keys and
values of cross-attention take that norm over, as the linear map nearest to it (:func:`fit_norm`).
"""

from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn

#: Weights of linear layers through which alone a layer of a transformer acts.
_OUTPUTS = ("attn1.to_out.0", "attn2.to_out.0", "ff.net.2")


class GrowthError(ValueError):
    """Two networks do not fit each other."""


@torch.no_grad()
def grow_text_encoder(new: nn.Module, old: nn.Module) -> None:
    """Copies a CLIP text encoder into one with one layer more, whose last states but one are then the old one's last.

    Args:
        new: of n + 1 layers; the last one stays as it is.
        old: of n layers, as wide.

    Raises:
        GrowthError: the number of layers, a width or the vocabulary does not fit.
    """
    layers, given = (int(each.config.num_hidden_layers) for each in (new, old))  # type: ignore[union-attr, arg-type]
    if layers != given + 1:
        raise GrowthError(f"text_encoder has {layers} layers; to begin with one of {given} it needs {given + 1}.")
    _copy(new, {**new.state_dict(), **old.state_dict()}, "text_encoder")


@torch.no_grad()
def fit_norm(encoder: nn.Module, ids: Tensor) -> tuple[Tensor, Tensor]:
    """The linear map nearest to the LayerNorm at the end of a CLIP text encoder, by least squares over its states.

    The norm divides by the spread of each token's state, which no linear map does. But that spread follows from the
    state to a large part, so a map that is fitted on real prompts comes much nearer than a mean spread would.

    Args:
        encoder: a CLIP text encoder.
        ids: token ids, [N, tokens].

    Returns:
        Matrix A, [width, width], and vector b, [width]: the normed state is about ``A @ state + b``.
    """
    output = encoder(ids.to(encoder.device), output_hidden_states=True)  # type: ignore[arg-type]
    states, normed = (values.flatten(0, 1).double() for values in (output.hidden_states[-1], output.last_hidden_state))
    solution = torch.linalg.lstsq(torch.cat([states, states.new_ones(len(states), 1)], dim=1), normed).solution
    return solution[:-1].T.float().contiguous(), solution[-1].float()


@torch.no_grad()
def grow_unet(new: UNet2DConditionModel, old: UNet2DConditionModel, norm: tuple[Tensor, Tensor] | None = None) -> None:
    """Copies the UNet of a Stable Diffusion into that of an SDXL.

    Levels correspond from above, so those of the up path from below its end. If the old UNet has more levels, its
    middle block worked on fewer pixels: on a single one, only the centres of its convolutions were ever trained, and
    only those are taken.

    Args:
        new: as many levels as ``old`` or fewer, each as wide as there.
        old: its cross-attention takes states of the first text encoder.
        norm: what ``old`` was given and ``new`` is not: a linear map of the states, see :func:`fit_norm`.

    Raises:
        GrowthError: a width or the number of levels or layers does not fit.
    """
    levels, given = len(new.down_blocks), len(old.down_blocks)
    if levels > given:
        raise GrowthError(f"unet has {levels} levels; to begin with one of {given} it can have {given} at most.")
    for name in ("conv_in", "time_embedding", "conv_norm_out", "conv_out"):
        _copy(getattr(new, name), getattr(old, name).state_dict(), name)
    pairs = list(zip([*new.down_blocks, *new.up_blocks],
                     [*old.down_blocks[:levels], *old.up_blocks[given - levels:]], strict=True))
    for own, other in [*pairs, (new.mid_block, old.mid_block)]:
        _grow_block(own, other, norm)
    if levels < given and old.config.sample_size == 2 ** (given - 1):
        for resnet in new.mid_block.resnets:
            for convolution in (resnet.conv1, resnet.conv2):
                _keep_centre(convolution.weight)
    if (added := getattr(new, "add_embedding", None)) is not None:
        _silence(added.linear_2)


def _grow_block(new: Any, old: Any, norm: tuple[Tensor, Tensor] | None) -> None:
    """Copies resnets and samplers, and attentions where both blocks have them."""
    for name in ("resnets", "downsamplers", "upsamplers"):
        for own, other in zip(getattr(new, name, None) or (), getattr(old, name, None) or (), strict=False):
            _copy(own, other.state_dict(), name)
    if getattr(old, "attentions", None):
        for own, other in zip(getattr(new, "attentions", None) or (), old.attentions, strict=False):
            _grow_attention(own, other, norm)


def _grow_attention(new: Any, old: Any, norm: tuple[Tensor, Tensor] | None) -> None:
    """Copies a block of transformer layers; further layers begin as identities."""
    heads, given = (each.transformer_blocks[0].attn1.heads for each in (new, old))
    if heads != given:
        raise GrowthError(f"unet has {heads} heads of attention in a layer, and the model to begin with has {given}.")
    for name in ("norm", "proj_in", "proj_out"):
        own = getattr(new, name)
        like = {key: value.shape for key, value in own.state_dict().items()}
        _copy(own, {key: value.flatten(1).reshape(like[key]) if value.dim() == 4 and len(like[key]) == 2 else value
                    for key, value in getattr(old, name).state_dict().items()}, name)
    for i, layer in enumerate(new.transformer_blocks):
        if i < len(old.transformer_blocks):
            _grow_layer(layer, old.transformer_blocks[i], norm)
        else:
            for output in _OUTPUTS:
                _silence(layer.get_submodule(output))


def _grow_layer(new: nn.Module, old: nn.Module, norm: tuple[Tensor, Tensor] | None) -> None:
    """Copies a transformer layer. Keys and values get columns of zeros for the states that are new.

    With ``norm``, the constant part of the keys is left out: it adds the same to every score of a query, which the
    softmax does not see. That of the values is the same for every token, and goes to the output's bias.
    """
    state = dict(old.state_dict())
    for name in ("attn2.to_k.weight", "attn2.to_v.weight"):
        wide = torch.zeros_like(new.get_parameter(name))
        weight = state[name]
        if norm is not None:
            matrix, offset = norm
            if name == "attn2.to_v.weight":
                state["attn2.to_out.0.bias"] = (
                    state["attn2.to_out.0.bias"] + state["attn2.to_out.0.weight"] @ (weight @ offset))
            weight = weight @ matrix
        if wide.shape[1] < weight.shape[1]:
            raise GrowthError(f"unet takes states of {wide.shape[1]}, fewer than the {weight.shape[1]} that it has "
                              "to begin with.")
        wide[:, :weight.shape[1]] = weight
        state[name] = wide
    _copy(new, state, "transformer layer")


def _copy(new: nn.Module, state: dict[str, Tensor], what: str) -> None:
    own = new.state_dict()
    for name in own.keys() | state.keys():
        found, wanted = (list(values[name].shape) if name in values else None for values in (state, own))
        if found != wanted:
            raise GrowthError(f"{what}: {name} is {found or 'not there'} in the model to begin with, and "
                              f"{wanted or 'not there'} in the new one.")
    new.load_state_dict(state)


def _keep_centre(weight: Tensor) -> None:
    """Sets all of a 3x3 kernel to zero but its centre."""
    centre = weight[:, :, 1, 1].clone()
    weight.zero_()
    weight[:, :, 1, 1] = centre


def _silence(layer: nn.Module) -> None:
    for parameter in layer.parameters():
        parameter.zero_()
