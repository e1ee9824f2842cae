"""The train loop: step by step, from any step on."""

from collections.abc import Iterator
from typing import Any

from mmengine.runner import BaseLoop
from torch import nn
from torch.utils.data import DataLoader

from diffkit.engine.errors import NonFiniteError
from diffkit.engine.interrupt import Interrupt
from diffkit.engine.logs import limit_history, numbers
from diffkit.engine.nonfinite import culprits
from diffkit.engine.seeding import derive_seed, seed_everything
from diffkit.engine.training_mode import TrainingMode
from diffkit.registry import LOOPS


@LOOPS.register_module()
class StepLoop(BaseLoop):
    """Trains for a number of iterations.

    An iteration is one batch of each process; with ``optim_wrapper.accumulative_counts`` of k the optimizer
    steps at every k-th iteration (and at the last one), so k times as many iterations make as many optimizer
    steps.

    Step ``s`` is a function of the weights before it, the seed, ``s`` and the rank: the data come from the
    sampler's position, and all random generators are seeded anew at each step. Beginning at any step costs
    nothing.

    Args:
        runner: the runner.
        dataloader: of the training data, or its config.
        max_iters: iterations of the whole training, at least 1.
        val_begin: first iteration (counted from 1) after which validation may run.
        val_interval: iterations from one validation to the next.
    """

    def __init__(
        self,
        runner: Any,
        dataloader: DataLoader | dict[str, Any],
        max_iters: int,
        val_begin: int = 1,
        val_interval: int = 1000,
    ) -> None:
        for name, value in (("max_iters", max_iters), ("val_interval", val_interval)):
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"train_cfg.{name} must be an integer of at least 1, given {value!r}")
        super().__init__(runner, dataloader)
        self._max_iters = max_iters
        self._iter = 0
        self._origin = (0, 0)
        self.val_begin = val_begin
        self.val_interval = val_interval
        self.stop_training = False
        self.interrupt = Interrupt()
        self._mode = TrainingMode()

    @property
    def max_iters(self) -> int:
        """Iterations of the whole training."""
        return self._max_iters

    @property
    def max_epochs(self) -> int:
        """Always 1; MMEngine asks."""
        return 1

    @property
    def epoch(self) -> int:
        """Always 0; MMEngine asks."""
        return 0

    @property
    def iter(self) -> int:
        """The iteration that is running or comes next, counted from 0."""
        return self._iter

    def start_at(self, step: int, draws: int | None = None) -> None:
        """Lets the training begin with iteration ``step``, counted from 0.

        Args:
            step: the iteration.
            draws: how many samples all processes together have taken before it; None: as many as they would have
                with the batch size and the processes of now.
        """
        self._iter = step
        if draws is not None:
            self._origin = (step, draws)

    def draws_before(self, step: int) -> int:
        """Returns how many samples all processes together take before iteration ``step``."""
        first, draws = self._origin
        return draws + (step - first) * self.dataloader.batch_size * self.runner.world_size

    @property
    def is_last(self) -> bool:
        """Whether the running iteration ends the training, by count, by a hook's wish or by a signal."""
        return self._iter + 1 >= self._max_iters or self.stop_training or self.interrupt.signal is not None

    def run(self) -> nn.Module:
        """Trains to the end, or until a signal or a hook stops it."""
        self.runner.call_hook("before_train")  # a signal in here ends the program: there is nothing new to save
        for loop in (self, self.runner.val_loop):
            if loop is not None:
                self.interrupt.guard_workers(loop.dataloader)
        with self.interrupt.listening():
            self.runner.call_hook("before_train_epoch")
            batches = self._batches()
            while self._iter < self._max_iters and not self.stop_training and self.interrupt.signal is None:
                self._run_step(batches)
            self.runner.call_hook("after_train_epoch")
            self.runner.call_hook("after_train")
        return self.runner.model

    def _run_step(self, batches: Iterator[Any]) -> None:
        self._seed("data")
        batch = next(batches)
        self._seed("step")  # once more: a loader draws from the generators when it starts
        self._mode.ensure(self.runner.model)
        self.runner.call_hook("before_train_iter", batch_idx=self._iter, data_batch=batch)
        outputs = self._train_step(batch)
        self.interrupt.agree()
        self.runner.call_hook("after_train_iter", batch_idx=self._iter, data_batch=batch, outputs=outputs)
        self._iter += 1
        limit_history(self.runner.message_hub)
        if self._validation_due():
            with self.runner.averaged_weights():
                self.runner.val_loop.run()
            self.runner.call_hook("after_validation")

    def _train_step(self, batch: Any) -> Any:
        """One step of the model; of one that is not finite it says which pictures that comes from, if from any."""
        wrapper = self.runner.optim_wrapper
        try:
            outputs = self.runner.model.train_step(batch, optim_wrapper=wrapper)
        except NonFiniteError as error:
            raise NonFiniteError("\n".join([str(error), *culprits(self.runner)])) from error
        outputs = numbers(outputs)
        if getattr(wrapper, "skipped_iterations", ()):
            for line in culprits(self.runner):
                self.runner.logger.warning(line)
        return outputs

    def _seed(self, stream: str) -> None:
        seed_everything(derive_seed(self.runner.seed, stream, self._iter, self.runner.rank))

    def _validation_due(self) -> bool:
        if self.runner.val_loop is None or self._iter < self.val_begin or self.interrupt.signal is not None:
            return False
        return self._iter % self.val_interval == 0 or self._iter == self._max_iters

    def _batches(self) -> Iterator[Any]:
        """Batches from iteration ``iter`` on, for ever."""
        sampler = self.dataloader.sampler
        skip = 0
        if hasattr(sampler, "start_at"):
            sampler.start_at(self.draws_before(self._iter))
        else:  # a finite sampler: the epoch is known, its first batches have to be read once more
            epoch, skip = divmod(self._iter, len(self.dataloader))
            _set_epoch(sampler, epoch)
        while True:
            for number, batch in enumerate(self.dataloader):
                if number >= skip:
                    yield batch
            skip = 0
            _set_epoch(sampler, self._iter // len(self.dataloader))


def _set_epoch(sampler: Any, epoch: int) -> None:
    if hasattr(sampler, "set_epoch"):
        sampler.set_epoch(epoch)


@LOOPS.register_module()
class PostTraining(StepLoop):
    """Trains nothing: the hooks of an iteration run, and the model stays as it is.

    This is the loop of a quantisation after the training: the hooks calibrate and measure, and the checkpoint has what
    they leave.

    Args:
        runner: the runner.
        dataloader: of the data that the model is calibrated and measured on, or its config.
        max_iters: iterations of which each only draws a batch, at least 1.
        val_begin: see :class:`StepLoop`.
        val_interval: see :class:`StepLoop`.
    """

    def __init__(self, runner: Any, dataloader: DataLoader | dict[str, Any], max_iters: int = 1, val_begin: int = 1,
                 val_interval: int = 1000) -> None:
        super().__init__(runner, dataloader, max_iters, val_begin, val_interval)

    def _train_step(self, batch: Any) -> Any:
        return {}
