"""Sampling pictures from a pipeline, one seed for each."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from typing import Any

import torch
from diffusers import DiffusionPipeline
from PIL import Image

from diffkit.models.samplers import build_sampler, check_sampler


@dataclass(frozen=True)
class GenerationSettings:
    """How pictures are sampled.

    Attributes:
        num_inference_steps: steps of the sampler, 1 or more.
        guidance_scale: classifier-free guidance (Ho & Salimans 2022); 1 is none.
        negative_prompt: what to steer away from.
        height: pixels; None takes the model's own size.
        width: pixels; None takes the model's own size.
        sampler: one of :data:`~diffkit.models.samplers.SAMPLERS`; None keeps the pipeline's, which is DPM-Solver++ in
            a training and in :func:`diffkit.apis.load_pipeline`.
        vae_slicing: decode one picture of a batch after the other: less memory, the same pictures. None leaves the VAE
            as it is.
        vae_tiling: decode pictures larger than those that the VAE was made for in overlapping tiles: less memory, and
            slightly other pictures. None leaves the VAE as it is.
    """

    num_inference_steps: int = 25
    guidance_scale: float = 7.5
    negative_prompt: str | None = None
    height: int | None = None
    width: int | None = None
    sampler: str | None = None
    vae_slicing: bool | None = None
    vae_tiling: bool | None = None

    def __post_init__(self) -> None:
        if self.num_inference_steps < 1:
            raise ValueError(f"num_inference_steps is {self.num_inference_steps}; it must be 1 or more.")
        check_sampler(self.sampler)

    def updated(self, **changes: Any) -> "GenerationSettings":
        """A copy with the changes that are not None.

        Raises:
            TypeError: a setting is unknown.
        """
        unknown = changes.keys() - {field.name for field in fields(self)}
        if unknown:
            allowed = ", ".join(field.name for field in fields(self))
            raise TypeError(f"unknown settings {sorted(unknown)}; allowed: {allowed}")
        return GenerationSettings(**{**asdict(self), **{k: v for k, v in changes.items() if v is not None}})


def generate(pipe: DiffusionPipeline, prompts: Sequence[str], seeds: Sequence[int],
             settings: GenerationSettings) -> list[Image.Image]:
    """Samples one picture for each prompt, in one batch.

    Noise is drawn on the CPU from each picture's own seed: it is the same in any batch and on any device.

    Args:
        pipe: any text-to-image pipeline of diffusers.
        prompts: N prompts.
        seeds: N seeds.

    Raises:
        ValueError: prompts and seeds are not of one number.
    """
    if len(prompts) != len(seeds):
        raise ValueError(f"{len(prompts)} prompts and {len(seeds)} seeds: one seed belongs to each prompt.")
    arguments = asdict(settings)
    parts = {f"use_{name}": arguments.pop(f"vae_{name}") for name in ("slicing", "tiling")}
    sampler = arguments.pop("sampler")
    if sampler is not None:
        pipe.scheduler = build_sampler(sampler, pipe.scheduler.config)
    negative = arguments.pop("negative_prompt")
    if negative is not None:
        arguments["negative_prompt"] = [negative] * len(prompts)
    generators = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
    dtypes = {p.dtype for part in (pipe.unet, pipe.vae) for p in part.parameters()}
    mixed = torch.autocast(pipe.device.type, dtype=torch.bfloat16, enabled=len(dtypes) > 1)
    with torch.no_grad(), mixed, _set(pipe.vae, parts):
        return pipe(prompt=list(prompts), generator=generators, **arguments).images


@contextmanager
def _set(vae: Any, flags: dict[str, bool | None]) -> Iterator[None]:
    """Sets the flags that are not None inside ``with``."""
    wanted = {name: value for name, value in flags.items() if value is not None}
    before = {name: getattr(vae, name) for name in wanted}
    try:
        for name, value in wanted.items():
            setattr(vae, name, value)
        yield
    finally:
        for name, value in before.items():
            setattr(vae, name, value)
