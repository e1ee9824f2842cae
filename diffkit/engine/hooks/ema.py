"""An average of the trained weights over time."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.hooks import Hook

from diffkit.engine.errors import check_keys
from diffkit.registry import HOOKS
from diffkit.utils.sharded import own_parts, placed_like


@HOOKS.register_module()
class EMAHook(Hook):
    """Keeps an exponential moving average of the trained weights, which samples and exports then use.

    Update number n (from 1) takes ``average += (1 - d) * (weights - average)`` with
    ``d = min(decay, n / (9 + n))`` and d = 0 for n = 1: the warm-up of ``diffusers.training_utils.EMAModel``.

    Args:
        decay: in [0, 1); how much of the average stays in an update.
        update_every: optimizer steps from one update to the next, at least 1.
    """

    priority = "NORMAL"
    state_name = "ema"

    def __init__(self, decay: float = 0.9999, update_every: int = 1) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"decay must be in [0, 1), given {decay}")
        if not isinstance(update_every, int) or update_every < 1:
            raise ValueError(f"update_every must be an integer of at least 1, given {update_every!r}")
        self.decay = decay
        self.update_every = update_every
        self.updates = 0
        self.shadow: dict[str, torch.Tensor] = {}
        self._weights: dict[str, torch.nn.Parameter] = {}
        self._is_shown = False

    def before_run(self, runner: Any) -> None:
        """Finds the weights."""
        self._weights = runner.bare_model.trainable_parameters()

    def before_train(self, runner: Any) -> None:
        """Begins the average with the weights as they are, unless a checkpoint has brought one."""
        if not self.shadow:
            self.shadow = {name: value.detach().clone() for name, value in self._weights.items()}

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Updates the average if the optimizer has stepped, and if it is time."""
        wrapper = runner.optim_wrapper
        if wrapper.stepped and wrapper.optimizer_steps % self.update_every == 0:
            self.update()

    @torch.no_grad()
    def update(self) -> None:
        """One update of the average."""
        self.updates += 1
        weight = 1 - self.current_decay(self.updates)
        torch._foreach_lerp_(own_parts(self.shadow), own_parts(self._weights), weight)

    def current_decay(self, update: int) -> float:
        """Returns the decay of an update, counted from 1."""
        return 0.0 if update <= 1 else min(self.decay, update / (9 + update))

    @contextmanager
    def swapped(self) -> Iterator[None]:
        """Inside the body the model has the averaged weights, and ``shadow`` the model's; then it is as before, bit for
        bit. In itself it does nothing."""
        if not self.shadow or self._is_shown:
            yield
            return
        weights, average = own_parts(self._weights), own_parts(self.shadow)
        _exchange(weights, average)
        self._is_shown = True
        try:
            yield
        finally:
            _exchange(weights, average)
            self._is_shown = False

    @contextmanager
    def whole(self, weights: dict[str, torch.nn.Parameter], take: Callable[[torch.Tensor], torch.Tensor]
              ) -> Iterator[None]:
        """Inside the body it averages ``weights``, which are whole; ``take`` gathers the average."""
        own = self._weights, self.shadow
        self._weights, self.shadow = weights, {name: take(value) for name, value in self.shadow.items()}
        try:
            yield
        finally:
            self._weights, self.shadow = own

    def preflight(self, runner: Any) -> list[tuple[str, str]]:
        """A line for the table before the training."""
        return [("average", f"of the weights, decay {self.decay:g}, every {self.update_every} optimizer steps")]

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds of it."""
        return {
            "shadow": self.shadow,
            "updates": self.updates,
            "decay": self.decay,
            "update_every": self.update_every,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Takes over what ``state`` gave.

        Raises:
            ResumeError: the average is one of other weights.
        """
        check_keys("averaged weights", self._weights, state["shadow"])
        self.shadow = {name: placed_like(state["shadow"][name], value) for name, value in self._weights.items()}
        self.updates = state["updates"]


@torch.no_grad()
def _exchange(first: list[torch.Tensor], second: list[torch.Tensor]) -> None:
    """Exchanges values bit for bit, a tensor at a time: no second copy of a whole model is made."""
    for left, right in zip(first, second, strict=True):
        kept = left.detach().clone()
        left.copy_(right)
        right.copy_(kept)
