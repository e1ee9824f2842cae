"""Samplers by name, over the noise schedule that a model was trained with."""

from collections.abc import Mapping
from typing import Any

from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    PNDMScheduler,
    SchedulerMixin,
)

from diffkit.utils.near import did_you_mean

#: Steps as the pipelines of Stable Diffusion place them: from the first on, shifted by one.
_LEADING = {"timestep_spacing": "leading", "steps_offset": 1}
_SAMPLERS: dict[str, tuple[Any, dict[str, Any]]] = {
    "dpm++": (DPMSolverMultistepScheduler, {"algorithm_type": "dpmsolver++"}),
    "pndm": (PNDMScheduler, {**_LEADING, "skip_prk_steps": True, "set_alpha_to_one": False}),
    "ddim": (DDIMScheduler, {**_LEADING, "clip_sample": False, "set_alpha_to_one": False}),
    "ddpm": (DDPMScheduler, {**_LEADING, "clip_sample": False}),
    "euler": (EulerDiscreteScheduler, _LEADING),
}
SAMPLERS = tuple(_SAMPLERS)


def check_sampler(name: str | None) -> None:
    """Raises ValueError where ``name`` is neither a sampler nor None."""
    if name is not None and name not in _SAMPLERS:
        raise ValueError(f"sampler is {name!r}; allowed: {', '.join(SAMPLERS)}, or None for the usual one"
                         f"{did_you_mean(str(name), SAMPLERS)}.")


def build_sampler(name: str, config: Mapping[str, Any]) -> SchedulerMixin:
    """A sampler over the noise schedule of another one.

    Args:
        name: one of ``SAMPLERS``.
        config: of the other one; its betas and what it predicts are taken.
    """
    kind, options = _SAMPLERS[name]
    return kind.from_config(config, **options)
