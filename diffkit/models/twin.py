"""A UNet without values: it has the layers of a real one, runs in no time, and shows shapes and costs."""

from collections.abc import Mapping
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor


def empty_unet(config: Mapping[str, Any]) -> UNet2DConditionModel:
    """Builds a UNet on the meta device: no memory, no weights, no random numbers.

    Args:
        config: the arguments of ``UNet2DConditionModel``, or the ``config`` of one.
    """
    with torch.device("meta"):
        return UNet2DConditionModel.from_config(
            {name: value for name, value in config.items() if not name.startswith("_")})


def example_inputs(config: Mapping[str, Any], size: tuple[int, int] | None = None, tokens: int = 77,
                   batch: int = 1, device: str | torch.device = "meta") -> dict[str, Any]:
    """Arguments of ``UNet2DConditionModel.forward`` of the right shapes, without meaning.

    Args:
        config: of the UNet.
        size: height and width of the latents; the UNet's own where None.
        tokens: of the text.
        batch: samples at once.
        device: where they lie.
    """
    own = config["sample_size"] or 64
    height, width = size or ((own, own) if isinstance(own, int) else tuple(own))
    wide = config["cross_attention_dim"]
    wide = wide if isinstance(wide, int) else max(wide)

    def zeros(*shape: int) -> Tensor:
        return torch.zeros(batch, *shape, device=device)

    inputs: dict[str, Any] = {
        "sample": zeros(config["in_channels"], height, width),
        "timestep": torch.zeros(batch, dtype=torch.long, device=device),
        "encoder_hidden_states": zeros(tokens, wide)}
    if config.get("addition_embed_type") == "text_time":
        pooled = config["projection_class_embeddings_input_dim"] - 6 * config["addition_time_embed_dim"]
        inputs["added_cond_kwargs"] = {"text_embeds": zeros(pooled), "time_ids": zeros(6)}
    return inputs
