"""Stable Diffusion XL: two text encoders, pooled text and the picture's sizes as conditioning."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from diffusers import StableDiffusionXLPipeline
from torch import Tensor
from transformers import CLIPTextModel, CLIPTextModelWithProjection

from diffkit.models.families.base import Conditioning, Family, token_ids
from diffkit.registry import FAMILIES


@FAMILIES.register_module()
class StableDiffusionXL(Family):
    """The last states but one of both encoders, joined; pooled text of the second (Podell et al. 2023)."""

    pipeline_class = StableDiffusionXLPipeline
    text_parts = (("tokenizer", "text_encoder", CLIPTextModel),
                  ("tokenizer_2", "text_encoder_2", CLIPTextModelWithProjection))

    def encode_text(self, parts: Mapping[str, Any], prompts: Sequence[str]) -> Conditioning:
        states = []
        for tokenizer, name, _ in self.text_parts:
            encoder = parts[name]
            ids = token_ids(parts[tokenizer], prompts, encoder.device)
            output = encoder(ids, output_hidden_states=True)
            states.append(output.hidden_states[-2])
        return Conditioning(torch.cat(states, dim=-1), pooled=output.text_embeds)

    def complete(self, conditioning: Conditioning, original_size: Tensor, crop_top_left: Tensor,
                 target_size: tuple[int, int]) -> Conditioning:
        embeds = conditioning.embeds
        target = original_size.new_tensor(target_size).expand_as(original_size)
        time_ids = torch.cat([original_size, crop_top_left, target], dim=1).to(embeds)
        return Conditioning(embeds, conditioning.pooled, time_ids)

    def pipeline_options(self) -> dict[str, Any]:
        return {"add_watermarker": False}
