"""Stable Diffusion XL: two text encoders, pooled text and the picture's sizes as conditioning."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from diffusers import StableDiffusionXLPipeline
from torch import Tensor
from transformers import CLIPTextModel, CLIPTextModelWithProjection

from diffkit.models.families.base import Check, Conditioning, Family, Parts, token_ids
from diffkit.models.families.grow import fit_norm, grow_text_encoder, grow_unet
from diffkit.models.families.scratch import build_parts, corpus_texts
from diffkit.models.families.sd import StableDiffusion
from diffkit.registry import FAMILIES
from diffkit.utils.pretrained import as_the_user_named, resolve_pretrained

#: Prompts on which the final norm of a text encoder is fitted (:func:`diffkit.models.families.grow.fit_norm`).
_FIT_PROMPTS = 512


@FAMILIES.register_module()
class StableDiffusionXL(Family):
    """The last states but one of both encoders, joined; pooled text of the second (Podell et al. 2023).

    An empty prompt is encoded as zeros, in training as in the guidance of diffusers' pipeline.

    Args:
        scratch: see :class:`Family`.
        allow_pickle: see :class:`Family`.
        grown_from: a Stable Diffusion that ``scratch`` begins with (:mod:`diffkit.models.families.grow`): a packaged
            name, a folder, a step folder or a hub id. Its VAE, its tokenizer (twice; the second one fills up with
            ``!``, as that of SDXL) and its noise schedule are taken as they are, and those of ``scratch`` are not
            used; the texts of ``scratch.tokenizer.corpus`` are. None leaves all weights random.
    """

    pipeline_class = StableDiffusionXLPipeline
    text_parts = (("tokenizer", "text_encoder", CLIPTextModel),
                  ("tokenizer_2", "text_encoder_2", CLIPTextModelWithProjection))

    def __init__(self, scratch: dict[str, Any] | None = None, allow_pickle: bool = False,
                 grown_from: str | Path | None = None) -> None:
        super().__init__(scratch, allow_pickle)
        if grown_from is not None and scratch is None:
            raise ValueError("model.family.grown_from says what a new model begins with: say in model.family.scratch "
                             "what it consists of.")
        self.grown_from = grown_from

    def load(self, source: str | Path | None, vae: str | Path | None = None, check: Check | None = None) -> Parts:
        if source is None and self.grown_from is not None:
            return self._grow(self.grown_from)
        return super().load(source, vae, check)

    def _grow(self, name: str | Path) -> Parts:
        """The parts of ``scratch``, with what a Stable Diffusion has learned."""
        with as_the_user_named(pretrained="model.family.grown_from"):
            old = StableDiffusion(allow_pickle=self.allow_pickle).load(resolve_pretrained(name))
        second = deepcopy(old["tokenizer"])
        second.pad_token = "!"
        spec: dict[str, Any] = self.scratch or {}
        parts = build_parts(spec, self.text_parts, {"tokenizer": old["tokenizer"], "tokenizer_2": second})
        parts |= {part: old[part] for part in ("vae", "noise_scheduler", "scheduler")}
        prompts = list(islice(corpus_texts(spec["tokenizer"]["corpus"]), _FIT_PROMPTS))
        norm = fit_norm(old["text_encoder"], token_ids(old["tokenizer"], prompts, old["text_encoder"].device))
        grow_text_encoder(parts["text_encoder"], old["text_encoder"])
        grow_unet(parts["unet"], old["unet"], norm)
        return parts

    def encode_text(self, parts: Mapping[str, Any], prompts: Sequence[str]) -> Conditioning:
        states = []
        for tokenizer, name, _ in self.text_parts:
            encoder = parts[name]
            ids = token_ids(parts[tokenizer], prompts, encoder.device)
            output = encoder(ids, output_hidden_states=True)
            states.append(output.hidden_states[-2])
        # an empty prompt is all zeros: so it is in guidance, where pipelines have force_zeros_for_empty_prompt
        said = states[0].new_tensor([1.0 if prompt.strip() else 0.0 for prompt in prompts])
        return Conditioning(torch.cat(states, dim=-1) * said[:, None, None], pooled=output.text_embeds * said[:, None])

    def complete(self, conditioning: Conditioning, original_size: Tensor, crop_top_left: Tensor,
                 target_size: tuple[int, int]) -> Conditioning:
        embeds = conditioning.embeds
        target = original_size.new_tensor(target_size).expand_as(original_size)
        time_ids = torch.cat([original_size, crop_top_left, target], dim=1).to(embeds)
        return Conditioning(embeds, conditioning.pooled, time_ids)

    def pipeline_options(self) -> dict[str, Any]:
        return {"add_watermarker": False}
