"""A family knows how the parts of one kind of pipeline are loaded, how they encode, and how they are sampled from."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from inspect import signature
from pathlib import Path
from typing import Any

import torch
from diffusers import DDPMScheduler, DiffusionPipeline, DPMSolverMultistepScheduler, LCMScheduler, UNet2DConditionModel
from torch import Tensor, nn

from diffkit.export.delta import apply_delta
from diffkit.export.embeddings import apply_embeddings
from diffkit.export.merge import merge_adapters
from diffkit.export.quantized import as_floats
from diffkit.export.reload import apply_adapters
from diffkit.models.families.empty import empty_networks
from diffkit.models.families.networks import load_network, load_tokenizer
from diffkit.models.families.scratch import build_parts
from diffkit.models.families.vae import find_vae, load_vae, vae_part
from diffkit.utils.placeholders import expand, placeholders, warn_of_cut
from diffkit.utils.pretrained import base_of, unroll_pretrained
from diffkit.utils.pretrained_files import ModelFiles, find_model, reading

Parts = dict[str, Any]
#: Looks at networks without values, by name, and raises where they are not as they should be.
Check = Callable[[Mapping[str, nn.Module]], None]


@dataclass
class Conditioning:
    """Encoded prompts.

    Attributes:
        embeds: token states, [B, tokens, width].
        pooled: one vector for each prompt, [B, width]; SDXL only.
        time_ids: original size, crop corner and target size, [B, 6]; SDXL only.
    """

    embeds: Tensor
    pooled: Tensor | None = None
    time_ids: Tensor | None = None

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Yields the name and value of every field that is set."""
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None:
                yield field.name, value

    def rows(self) -> list["Conditioning"]:
        """Splits the batch into single prompts, without a batch dimension."""
        names, values = zip(*self.tensors(), strict=True)
        return [Conditioning(**dict(zip(names, row, strict=True))) for row in zip(*values, strict=True)]

    @classmethod
    def stack(cls, rows: Sequence["Conditioning"]) -> "Conditioning":
        """The inverse of :meth:`rows`."""
        return cls(**{name: torch.stack([getattr(row, name) for row in rows]) for name, _ in rows[0].tensors()})

    def to(self, *args: Any) -> "Conditioning":
        return Conditioning(**{name: value.to(*args) for name, value in self.tensors()})

    def unet_arguments(self) -> dict[str, Any]:
        """The keyword arguments of ``UNet2DConditionModel.forward``."""
        arguments: dict[str, Any] = {"encoder_hidden_states": self.embeds}
        if self.pooled is not None:
            arguments["added_cond_kwargs"] = {"text_embeds": self.pooled, "time_ids": self.time_ids}
        return arguments


class Family(ABC):
    """One kind of pipeline.

    Args:
        scratch: configs of the components, built with random weights where no ``pretrained`` is given
            (see :func:`diffkit.models.families.scratch.build_parts`).
        allow_pickle: also read ``.bin`` weights where there are no others (``weights_only``: tensors alone, no code).
    """

    pipeline_class: type[DiffusionPipeline]
    #: (tokenizer, text encoder, class of the text encoder), in the order in which their states are joined
    text_parts: tuple[tuple[str, str, type[nn.Module]], ...]

    def __init__(self, scratch: dict[str, Any] | None = None, allow_pickle: bool = False) -> None:
        self.scratch = scratch
        self.allow_pickle = allow_pickle

    @property
    def component_names(self) -> tuple[str, ...]:
        """The trained or frozen networks, in the order of the checkpoint."""
        return ("unet", "vae", *(encoder for _, encoder, _ in self.text_parts))

    def load(self, source: str | Path | None, vae: str | Path | None = None, check: Check | None = None) -> Parts:
        """Loads every part in float32, or builds them from ``scratch`` where ``source`` is None.

        Args:
            source: a diffusers folder, a hub id, or a step folder (its adapters are merged into their base).
            vae: another folder or hub id for the VAE (a diffusers folder with a ``vae`` subfolder, or a VAE alone).
            check: called with the networks before any weights are read: they have their layers and no values (they
                lie on the meta device). What it raises ends the loading.

        Raises:
            PretrainedError: the model is not there, or not in a form that may be read.
        """
        if source is None:
            if self.scratch is None:
                raise ValueError("model.pretrained is None: give a folder, a hub id or a packaged name such as "
                                 "'mini-sd', or family.scratch to begin with random weights.")
            return build_parts(self.scratch, self.text_parts)
        whole, adapters = unroll_pretrained(source) if isinstance(source, Path) else (source, [])
        with base_of(adapters):
            parts = self._load_whole(find_model(whole), None if vae is None else find_vae(vae), check)
        quantized, adapters = as_floats(whole, adapters)
        if quantized is not None:
            parts["unet"] = quantized
        components = {name: parts[name] for name in self.component_names}
        for step in adapters:
            apply_embeddings(parts, step, str(whole))
            apply_delta(components, step, str(whole))
            apply_adapters(components, step, str(whole))
            for component in components.values():
                merge_adapters(component)
        return parts

    def _load_whole(self, model: ModelFiles, vae: ModelFiles | None, check: Check | None) -> Parts:
        model.check([name for name in self.component_names if name != "vae" or vae is None], self.allow_pickle)
        vae = vae or model
        vae.check([vae_part(vae)], self.allow_pickle)
        if check is not None:
            check(empty_networks(model, vae, self.text_parts))
        parts: Parts = {"vae": load_vae(vae), "unet": load_network(UNet2DConditionModel, model, "unet")}
        for tokenizer, encoder, encoder_class in self.text_parts:
            parts[encoder] = load_network(encoder_class, model, encoder)
            parts[tokenizer] = load_tokenizer(model, tokenizer, parts[encoder])
        with reading(model):
            noise = DDPMScheduler.from_pretrained(model.source, subfolder="scheduler")
        return {**parts, "noise_scheduler": noise, "scheduler": sampling_scheduler(noise)}

    @abstractmethod
    def encode_text(self, parts: Mapping[str, Any], prompts: Sequence[str]) -> Conditioning:
        """Encodes prompts; ``time_ids`` stays None."""

    def complete(self, conditioning: Conditioning, original_size: Tensor, crop_top_left: Tensor,
                 target_size: tuple[int, int]) -> Conditioning:
        """Adds what belongs to the pictures and not to the prompts: nothing, unless a family says otherwise."""
        return conditioning

    def pipeline(self, parts: Mapping[str, Any]) -> DiffusionPipeline:
        """A diffusers pipeline of these very modules: nothing is copied or reloaded."""
        names = [*self.component_names, *(tokenizer for tokenizer, _, _ in self.text_parts), "scheduler"]
        pipe = self.pipeline_class(**{name: parts[name] for name in names}, **self.pipeline_options())
        pipe.set_progress_bar_config(disable=True)
        return pipe

    def pipeline_options(self) -> dict[str, Any]:
        """Arguments of the pipeline's constructor that are not parts."""
        return {}


def token_ids(tokenizer: Any, prompts: Sequence[str], device: torch.device) -> Tensor:
    """Token ids padded and cut to the tokenizer's length, [B, tokens]; a placeholder becomes all of its tokens."""
    known = placeholders(tokenizer)
    encoded = tokenizer([expand(prompt, known) for prompt in prompts], padding="max_length", truncation=True,
                        max_length=tokenizer.model_max_length)
    warn_of_cut(prompts, encoded.input_ids, known)
    return torch.tensor(encoded.input_ids, device=device)


def sampling_scheduler(noise_scheduler: DDPMScheduler) -> DPMSolverMultistepScheduler:
    """DPM-Solver++ (Lu et al. 2022) over the same noise schedule; 20 to 25 steps are enough."""
    return DPMSolverMultistepScheduler.from_config(noise_scheduler.config)


def few_step_scheduler(noise_scheduler: DDPMScheduler) -> LCMScheduler:
    """The sampler of consistency models (Luo et al. 2023) over the same noise schedule; 4 steps, no guidance."""
    known = signature(LCMScheduler).parameters  # from_config would warn of all others
    return LCMScheduler(**{name: value for name, value in noise_scheduler.config.items() if name in known})
