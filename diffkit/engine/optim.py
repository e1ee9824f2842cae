"""The optimizer's wrapper: autocast, loss scaling, accumulation, clipping, and steps that are not finite."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.dist import all_reduce
from mmengine.logging import print_log
from mmengine.optim import OptimWrapper as MMOptimWrapper
from torch import nn
from torch.optim import Optimizer

from diffkit.engine.errors import NonFiniteError
from diffkit.registry import OPTIM_WRAPPERS
from diffkit.utils.sharded import gathered

_DTYPES = {None: None, "float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}


@OPTIM_WRAPPERS.register_module()
class OptimWrapper(MMOptimWrapper):
    """Steps an optimizer over fp32 parameters, with the forward pass in a chosen precision.

    One call of ``update_params`` is one iteration; every ``accumulative_counts`` iterations, and at the last
    iteration of a training, the optimizer steps over the mean of the gradients.

    An optimizer step whose loss or gradient is not finite is skipped; more than ``max_skipped`` in a row end
    the training. With float16 and a finite loss the loss scale is lowered first, as usual: those skips do not count
    until it is down to 1.

    Args:
        optimizer: any torch optimizer.
        accumulative_counts: iterations per optimizer step, at least 1.
        clip_grad: ``dict(max_norm=…, norm_type=2)`` or ``dict(type='value', clip_value=…)``; None does not
            clip.
        dtype: precision of the forward pass under autocast: None or ``'float32'`` (none), ``'bfloat16'`` (CPU
            and CUDA), ``'float16'`` (CUDA; with loss scaling).
        max_skipped: optimizer steps in a row that may be skipped as not finite, at least 0.
        loss_scale: first loss scale of float16.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        accumulative_counts: int = 1,
        clip_grad: dict[str, Any] | None = None,
        dtype: str | None = None,
        max_skipped: int = 5,
        loss_scale: float = 2.0**16,
    ) -> None:
        if not isinstance(accumulative_counts, int) or accumulative_counts < 1:
            raise ValueError(f"accumulative_counts must be an integer of at least 1, given {accumulative_counts!r}")
        if dtype not in _DTYPES:
            raise ValueError(f"dtype must be one of {', '.join(map(repr, _DTYPES))}, given {dtype!r}")
        if max_skipped < 0:
            raise ValueError(f"max_skipped must be at least 0, given {max_skipped}")
        super().__init__(optimizer, accumulative_counts, dict(clip_grad) if clip_grad else None)
        self.device = self.parameters()[0].device
        if dtype == "float16" and self.device.type == "cpu":
            raise ValueError("dtype 'float16' needs a GPU; on the CPU use 'bfloat16' or None")
        self.dtype = _DTYPES[dtype]
        self.scaler = torch.amp.GradScaler(self.device.type, init_scale=loss_scale, enabled=dtype == "float16")
        self.max_skipped = max_skipped
        self.skipped_in_row = 0
        self.optimizer_steps = 0
        self.stepped = False
        self.skipped_iterations: list[int] = []
        self._finite = torch.ones((), dtype=torch.bool, device=self.device)
        self._losses: dict[int, torch.Tensor] = {}

    @property
    def accumulative_counts(self) -> int:
        """Iterations per optimizer step."""
        return self._accumulative_counts

    @property
    def mid_accumulation(self) -> bool:
        """Whether gradients of a step that is not complete are held."""
        return not self.should_update()

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Autocast for the forward pass; without gradient exchange between processes where none is due."""
        with (
            super().optim_context(model),
            torch.autocast(self.device.type, dtype=self.dtype or torch.bfloat16, enabled=self.dtype is not None),
        ):
            yield

    def update_params(
        self,
        loss: torch.Tensor,
        step_kwargs: dict[str, Any] | None = None,
        zero_kwargs: dict[str, Any] | None = None,
    ) -> None:
        """Backward pass of one iteration and, when due, one optimizer step.

        ``stepped`` tells whether it was taken. If it was skipped, ``skipped_iterations`` are those of its iterations
        (counted from 0) whose loss in this process was not finite, or all of them if only the gradient was not.

        Raises:
            NonFiniteError: more than ``max_skipped`` steps in a row were not finite.
        """
        self.stepped = False
        self.skipped_iterations = []
        finite = torch.isfinite(loss.detach()).all()
        self._losses[self._inner_count] = finite
        self._finite &= finite
        self.backward(self.scale_loss(loss))
        if self.should_update():
            self.step(**(step_kwargs or {}))
            self.zero_grad(**(zero_kwargs or {}))

    def backward(self, loss: torch.Tensor, **kwargs: Any) -> None:
        """Backward pass, with the loss scale of float16."""
        self.scaler.scale(loss).backward(**kwargs)
        self._inner_count += 1

    def step(self, **kwargs: Any) -> None:
        """Clips, then steps the optimizer if loss and gradients are finite on all processes."""
        if self.scaler.is_enabled():
            self.scaler.unscale_(self.optimizer)
        what, norm = self._not_finite(self._clip_grad())
        scale = self.scaler.get_scale()
        if not what:
            self.optimizer.step(**kwargs)
            self.optimizer_steps += 1
            self.skipped_in_row = 0
            self.stepped = True
            self.message_hub.update_scalar("train/grad_norm", norm)
        if self.scaler.is_enabled():
            self.scaler.update()
        losses, self._losses = self._losses, {}
        if what == "loss" or (what and scale <= 1):
            self.skipped_iterations = [i for i, finite in losses.items() if not finite] or list(losses)
            self._skip(what, list(losses) or [self._inner_count - 1])

    def initialize_count_status(self, model: nn.Module, init_counts: int, max_counts: int) -> None:
        """Sets the number of iterations done and to do, so that the last accumulation is flushed."""
        self._inner_count = init_counts
        self._max_counts = max_counts
        self._remainder_counts = max_counts % self._accumulative_counts

    def parameters(self) -> list[nn.Parameter]:
        """What the optimizer steps over, in its order."""
        return [parameter for group in self.optimizer.param_groups for parameter in group["params"]]

    def counters(self) -> dict[str, Any]:
        """What, beside the optimizer's own state, decides the next steps."""
        return {
            "optimizer_steps": self.optimizer_steps,
            "skipped_in_row": self.skipped_in_row,
            "loss_scaler": self.scaler.state_dict(),
            "finite": bool(self._finite),
        }

    def load_counters(self, counters: dict[str, Any]) -> None:
        """Takes over what ``counters`` gave."""
        self.optimizer_steps = counters["optimizer_steps"]
        self.skipped_in_row = counters["skipped_in_row"]
        self._finite.fill_(counters["finite"])
        if self.scaler.is_enabled() and counters["loss_scaler"]:
            self.scaler.load_state_dict(counters["loss_scaler"])

    def _clip_grad(self) -> torch.Tensor:
        """Clips and returns the norm before it, on the device of the parameters."""
        held = [parameter for parameter in self.parameters() if parameter.grad is not None]
        gradients = [parameter.grad for parameter in held if parameter.grad is not None]
        options = dict(self.clip_grad_kwargs or {})
        norm = gathered(torch.nn.utils.get_total_norm(gradients, options.get("norm_type", 2.0)))
        if "max_norm" in options:
            torch.nn.utils.clip_grads_with_norm_(held, options["max_norm"], norm)
        elif options:
            torch.nn.utils.clip_grad_value_(held, **options)
        return norm

    def _not_finite(self, norm: torch.Tensor) -> tuple[str, float]:
        """What is not finite, or nothing, and the norm as a number: the same in all processes.

        This is the one wait for the device in a step of the optimizer.
        """
        norm = norm.float()
        flags = torch.stack([self._finite.to(norm.dtype), torch.isfinite(norm).to(norm.dtype), norm])
        all_reduce(flags, "min")
        self._finite.fill_(True)
        loss, gradient, value = flags.tolist()
        return "" if loss and gradient else "gradient" if loss else "loss", value

    def _skip(self, what: str, iterations: list[int]) -> None:
        self.skipped_in_row += 1
        first, last = min(iterations), max(iterations)
        when = f"iteration {last}" if first == last else f"iterations {first} to {last}"
        where = f"{when} (optimizer step {self.optimizer_steps})"
        if self.skipped_in_row > self.max_skipped:
            raise NonFiniteError(
                f"the {what} is not finite at {where}, nor was it in the {self.max_skipped} optimizer steps before it "
                f"(max_skipped={self.max_skipped}). Lower the learning rate, clip gradients, or use dtype=None; then "
                "resume from the last checkpoint"
            )
        print_log(
            f"The {what} is not finite at {where}: this step is skipped, "
            f"{self.skipped_in_row} of at most {self.max_skipped} in a row.",
            "current",
            logging.WARNING,
        )
