"""Networks without values: their layers, as the configs of a model describe them."""

from collections.abc import Sequence

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import nn

from diffkit.models.families.vae import vae_part
from diffkit.utils.pretrained_files import ModelFiles, reading


def empty_networks(model: ModelFiles, vae: ModelFiles,
                   text_parts: Sequence[tuple[str, str, type[nn.Module]]]) -> dict[str, nn.Module]:
    """Builds the networks of a model on the meta device: no memory, no weights, no random numbers.

    Args:
        model: where ``unet`` and the text encoders come from.
        vae: where the VAE comes from; ``model`` itself, as a rule.
        text_parts: (tokenizer, text encoder, class of the text encoder) of the family.

    Raises:
        PretrainedError: a config is missing or damaged.
    """
    with reading(vae):
        vae_config = AutoencoderKL.load_config(vae.source, subfolder=vae_part(vae) or None)
    with reading(model):
        unet_config = UNet2DConditionModel.load_config(model.source, subfolder="unet")
        encoders = {
            name: (kind, kind.config_class.from_pretrained(model.source, subfolder=name))  # type: ignore[attr-defined]
            for _, name, kind in text_parts}
    with torch.device("meta"):
        networks = {"unet": UNet2DConditionModel.from_config(unet_config), "vae": AutoencoderKL.from_config(vae_config)}
        return {**networks, **{name: kind(config) for name, (kind, config) in encoders.items()}}
