"""A model learns to jump to the end of its teacher's path: pictures in 4 steps (Luo et al. 2023, arXiv 2310.04378)."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from diffkit.models.distillers.objective import check_loss
from diffkit.models.distillers.solver import boundary, ddim_step, split
from diffkit.models.distillers.with_teacher import TeacherDistiller
from diffkit.models.families.base import Conditioning, few_step_scheduler
from diffkit.models.losses import weighted_mean
from diffkit.models.step import Step
from diffkit.registry import DISTILLERS, LOSSES

if TYPE_CHECKING:
    from diffkit.models.latent_diffusion import LatentDiffusion

#: How the names of the averages begin in a checkpoint's state.
AVERAGE = "average_"


@DISTILLERS.register_module()
class ConsistencyDistiller(TeacherDistiller):
    """``loss_consistency``: the student says the same of two neighbouring points of the teacher's path.

    From the noisy latents at t the teacher, with classifier-free guidance, takes one step of DDIM to t - ``skip``.
    There the student, without gradients, says what the clean latents are; at t it has to say the same. The guidance of
    the teacher is learned: the result is sampled with ``LCMScheduler`` and without guidance. Tuners decide what is
    trained: all weights, or LoRA.

    With all weights the student at t - ``skip`` should be an average of the student (``target_decay=0.95``, as LCM), or
    the training chases itself; LCM-LoRA (Luo et al. 2023, arXiv 2311.05556) takes the student of now. Against the
    references the guidance is no input of the UNet, so a model has the one it was taught.
    The task's own loss should have no weight: ``objective=dict(type=Denoising, loss_weight=0.0,
    timesteps=dict(type=GridTimesteps))``.

    Args:
        guidance_scale: of the teacher; 1 is none. Two numbers are a range from which each sample draws its own.
        skip: timesteps of the teacher's step, 1 or more.
        loss: a config of LOSSES; by default ``SmoothL1Loss(beta=0.001)``, near to the pseudo-Huber loss of LCM.
        weight: factor of the term, above 0.
        target_decay: in [0, 1): how much of the average stays in an iteration, ``average += (1 - d) * (weights -
            average)``; 0 takes no average. It costs the memory of the UNet's trained weights once more.
        teacher: None is a frozen copy of the UNet, taken before it is changed; or another pipeline.
        dtype: number format of the teacher's weights: ``bfloat16`` halves its memory.
        offload: ``"cpu"`` or ``"disk"``: the teacher's weights wait there, and each layer has its own only while it
            runs.
    """

    def __init__(self, guidance_scale: float | Sequence[float] = 7.5, skip: int = 20, loss: dict | None = None,
                 weight: float = 1.0, target_decay: float = 0.0, teacher: str | None = None,
                 dtype: Literal["float32", "bfloat16", "float16"] = "float32",
                 offload: Literal["cpu", "disk"] | None = None) -> None:
        super().__init__(teacher, dtype, offload)
        self.guidance = _range(guidance_scale)
        if skip < 1:
            raise ValueError(f"ConsistencyDistiller: skip is {skip!r}; it must be 1 or more.")
        if not weight > 0:
            raise ValueError(f"ConsistencyDistiller: weight is {weight!r}; it must be above 0.")
        if not 0 <= target_decay < 1:
            raise ValueError(f"ConsistencyDistiller: target_decay is {target_decay!r}; it must be in [0, 1).")
        self.skip, self.weight, self.target_decay = skip, weight, target_decay
        self.loss = LOSSES.build(loss or {"type": "SmoothL1Loss", "beta": 1e-3})
        check_loss(self.loss)

    def attach(self, model: "LatentDiffusion") -> None:
        """Keeps how the student is run, and lets the model be sampled in few steps."""
        self._prior_loss_weight = model.prior_loss_weight
        self._predict: Callable[..., Tensor] = model.predict
        self._trained: Callable[[], dict[str, Tensor]] = lambda: {
            name: value for name, value in model.get_submodule("unet").named_parameters() if value.requires_grad}
        if self.target_decay:
            for number, value in enumerate(self._trained().values()):
                self.register_buffer(f"{AVERAGE}{number}", value.detach().clone())
        self._encode = lambda: model.family.encode_text(model.parts, [""])
        self._schedule: Any = model.noise_scheduler
        model.sample_with(few_step_scheduler(model.noise_scheduler))

    @contextmanager
    def recording(self) -> Iterator[None]:
        yield

    def losses(self, step: Step) -> dict[str, Tensor]:
        if self._teacher is None:
            return {}
        if step.prediction is None:
            raise RuntimeError("ConsistencyDistiller.losses: the student has not run on this step.")
        said = self._jump(step.prediction, step.noisy_latents, step.timesteps)
        with torch.no_grad():
            earlier = (step.timesteps - self.skip).clamp_min(0)
            on_path = self._teacher_step(step, earlier)
            there = self._predict(on_path, earlier, step.conditioning, weights=self._average())
            target = self._jump(there, on_path, earlier)
        term = weighted_mean(self.loss(said, target), None, step.is_prior, self._prior_loss_weight)
        return {"loss_consistency": self.weight * term}

    def _average(self) -> dict[str, Tensor] | None:
        """The average of the student's trained weights by name, brought up to now; None where there is none."""
        if not self.target_decay:
            return None
        trained = self._trained()
        averages = [self.get_buffer(f"{AVERAGE}{number}") for number in range(len(trained))]
        torch._foreach_lerp_(averages, list(trained.values()), 1 - self.target_decay)
        return dict(zip(trained, averages, strict=True))

    def _jump(self, prediction: Tensor, noisy: Tensor, timesteps: Tensor) -> Tensor:
        clean, _ = split(self._kind, prediction, noisy, self._alphas(timesteps))
        return boundary(clean, noisy, timesteps)

    def _teacher_step(self, step: Step, earlier: Tensor) -> Tensor:
        """Where the teacher is at ``earlier`` timesteps, [B, C, h, w]."""
        clean, noise = split(self._kind, self._guided(step), step.noisy_latents, self._alphas(step.timesteps))
        return ddim_step(clean, noise, self._alphas(earlier))

    def _guided(self, step: Step) -> Tensor:
        """The teacher's prediction with guidance, [B, C, h, w]."""
        assert self._teacher is not None
        low, high = self.guidance
        if low == high == 1:
            return self._teacher.predict(step.noisy_latents, step.timesteps, step.conditioning)
        both = self._teacher.predict(
            step.noisy_latents.repeat(2, 1, 1, 1), step.timesteps.repeat(2),
            joined(step.conditioning, without_words(self._encode(), step.conditioning)))
        with_words, without = both.chunk(2)
        scale = low + (high - low) * torch.rand(len(without), device=without.device)[:, None, None, None]
        return without + scale * (with_words - without)

    @property
    def _kind(self) -> str:
        return self._schedule.config.prediction_type

    def _alphas(self, timesteps: Tensor) -> Tensor:
        return self._schedule.alphas_cumprod.to(timesteps.device)[timesteps]

    def describe(self) -> str:
        low, high = self.guidance
        guidance = f"{low:g}" if low == high else f"{low:g} to {high:g}"
        target = f", average of the student with decay {self.target_decay:g}" if self.target_decay else ""
        return (f"{self.source or 'a frozen copy of the UNet'} in {self.dtype}: {self.weight:g} x loss_consistency, "
                f"guidance {guidance}, {self.skip} timesteps at once{target}")


def without_words(empty: Conditioning, like: Conditioning) -> Conditioning:
    """The empty prompt, encoded as one row, for each sample of ``like``; what belongs to the pictures stays."""
    count = len(like.embeds)
    fields = {name: value.to(like.embeds).expand(count, *value.shape[1:]) for name, value in empty.tensors()}
    return Conditioning(**{**dict(like.tensors()), **fields})


def joined(first: Conditioning, second: Conditioning) -> Conditioning:
    """Both in one batch."""
    others = dict(second.tensors())
    return Conditioning(**{name: torch.cat([value, others[name]]) for name, value in first.tensors()})


def _range(scale: float | Sequence[float]) -> tuple[float, float]:
    low, high = (scale, scale) if isinstance(scale, int | float) else (tuple(scale) if len(scale) == 2 else (0, 0))
    if not 1 <= low <= high:
        raise ValueError(f"ConsistencyDistiller: guidance_scale is {scale!r}; it must be 1 or more, or two such "
                         "numbers, the smaller first.")
    return float(low), float(high)
