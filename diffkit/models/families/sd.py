"""Stable Diffusion 1.x and 2.x, and everything of that anatomy: small-sd, tiny-sd, the packaged miniature."""

from collections.abc import Mapping, Sequence
from typing import Any

from diffusers import StableDiffusionPipeline
from transformers import CLIPTextModel

from diffkit.models.families.base import Conditioning, Family, token_ids
from diffkit.registry import FAMILIES


@FAMILIES.register_module()
class StableDiffusion(Family):
    """One CLIP text encoder, its last states (Rombach et al. 2022).

    Args:
        scratch: see :class:`Family`.
        allow_pickle: see :class:`Family`.
    """

    pipeline_class = StableDiffusionPipeline
    text_parts = (("tokenizer", "text_encoder", CLIPTextModel),)

    def encode_text(self, parts: Mapping[str, Any], prompts: Sequence[str]) -> Conditioning:
        encoder = parts["text_encoder"]
        return Conditioning(encoder(token_ids(parts["tokenizer"], prompts, encoder.device))[0])

    def pipeline_options(self) -> dict[str, Any]:
        return {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
