"""Consistency distillation: the task has no weight, and timesteps are those that a few-step sampler may visit."""

from diffkit.models import ConsistencyDistiller, Denoising, GridTimesteps

_objective = dict(type=Denoising, loss_weight=0.0, timesteps=dict(type=GridTimesteps, count=50))
_distiller = dict(type=ConsistencyDistiller, guidance_scale=4.0, skip=20)
