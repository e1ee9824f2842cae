"""Which part of a training step something is spent on: processor time, or multiplications.

Functions of a running training are wrapped from outside, so that the package itself measures nothing.
"""

import functools
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from diffkit.models.distillers.teacher import FrozenTeacher

#: The parts of a step, and what is in them.
PARTS = {
    "data": "reading and preparing pictures and prompts",
    "encode": "latents: the VAE, or its cache",
    "text": "states of prompts: the text encoders, or their cache",
    "student": "forward pass of the UNet that is trained",
    "teacher": "forward pass of the teacher",
    "loss": "noise, timesteps, distances",
    "backward": "backward pass",
    "optimizer": "clipping, the optimizer's step, zeroing gradients",
    "ema": "average of the weights",
    "hooks": "all other hooks: log, schedules, progress",
    "loop": "seeds, modes of the modules, sum of the losses, calls of all that",
}


class Parts:
    """Charges what a counter counts to the innermost part that is open.

    Args:
        read: the counter, such as ``time.process_time``; it never goes back.

    Attributes:
        charged: by part, since :meth:`clear`; a part inside another one is charged alone.
        active: whether anything is charged.
    """

    def __init__(self, read: Callable[[], float] = time.process_time) -> None:
        self.read = read
        self.active = True
        self.charged: dict[str, float] = {}
        self._open: list[str] = []
        self._last = 0.0

    def clear(self) -> None:
        """Begins anew."""
        self.charged = dict.fromkeys(PARTS, 0.0)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """What is counted inside ``with`` belongs to a part."""
        if not self.active:
            yield
            return
        self._charge()
        self._open.append(name)
        try:
            yield
        finally:
            self._charge()
            self._open.pop()

    def _charge(self) -> None:
        now = self.read()
        if self._open:
            self.charged[self._open[-1]] = self.charged.get(self._open[-1], 0.0) + now - self._last
        self._last = now

    def wrap(self, owner: Any, name: str, part: str) -> Callable[[], None]:
        """Lets a function of an object, or of a class, count as a part.

        Returns:
            What puts the function back.
        """
        inner, own = getattr(owner, name), name in vars(owner)

        @functools.wraps(inner)
        def counted(*args: Any, **options: Any) -> Any:
            with self.part(part):
                return inner(*args, **options)

        setattr(owner, name, counted)
        return functools.partial(setattr, owner, name, inner) if own else functools.partial(delattr, owner, name)


@contextmanager
def counted(runner: Any, parts: Parts) -> Iterator[None]:
    """Inside ``with`` the steps of a training (:func:`benchmarks.stepping.stepped`) are charged to their parts.

    Args:
        runner: of one process.
        parts: what counts.
    """
    loop, model, wrapper = runner.train_loop, runner.bare_model, runner.optim_wrapper
    batches = loop.batches
    places = [(model, "encode_images", "encode"), (model, "encode_prompts", "text"), (model, "predict", "student"),
              (model.objective, "losses", "loss"), (wrapper, "backward", "backward"), (wrapper, "step", "optimizer"),
              (wrapper, "zero_grad", "optimizer"), (runner, "call_hook", "hooks"), (loop, "_seed", "loop"),
              (loop._mode, "ensure", "loop"), (model, "train_step", "loop"),
              (model.data_preprocessor, "forward", "data"), (FrozenTeacher, "run", "teacher"),
              (FrozenTeacher, "predict", "teacher"),
              *((hook, "after_train_iter", "ema") for hook in runner.hooks if hasattr(hook, "shadow"))]
    with ExitStack() as stack:
        for owner, name, part in places:
            stack.callback(parts.wrap(owner, name, part))
        stack.callback(setattr, loop, "batches", batches)
        loop.batches = _counted_items(batches, parts)
        yield


def _counted_items(items: Iterator[Any], parts: Parts) -> Iterator[Any]:
    while True:
        with parts.part("data"):
            item = next(items)
        yield item
