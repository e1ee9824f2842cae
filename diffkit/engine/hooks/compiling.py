"""What torch.compile made of a training."""

from typing import Any

from mmengine.hooks import Hook

from diffkit.registry import HOOKS


@HOOKS.register_module()
class CompileReportHook(Hook):
    """Says at the end of a training with ``model.compile`` how many programs were compiled, and why time was lost.

    A graph break is a place where a program had to end and Python goes on. What is compiled after the first iterations
    (two, since gradients have a place from the second on) was compiled again, for another size or state.
    """

    priority = "VERY_LOW"
    alters_training = False

    def __init__(self) -> None:
        self._before: Any = None
        self._settled: Any = None
        self._first = 0

    def before_train(self, runner: Any) -> None:
        """Remembers what was compiled before."""
        if (compiler := getattr(runner.bare_model, "compiler", None)) is not None:
            self._before, self._first = compiler.counts(), runner.iter

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Remembers what was compiled in the first two iterations."""
        if self._before is not None and runner.iter <= self._first + 1:
            self._settled = runner.bare_model.compiler.counts()

    def after_train(self, runner: Any) -> None:
        """Prints the counts, once."""
        if self._settled is None or runner.rank != 0:
            return
        counts = runner.bare_model.compiler.counts()
        graphs, later = counts.graphs - self._before.graphs, counts.graphs - self._settled.graphs
        breaks = counts.breaks - self._before.breaks
        runner.logger.info(f"Compiled {runner.bare_model.compiler.compiled} regions of the UNet: {graphs} graphs, "
                           f"{breaks} graph breaks, {later} graphs compiled after the first two iterations.")

    def preflight(self, runner: Any) -> list[tuple[str, str]]:
        """A line for the table before the training."""
        compiler = getattr(runner.bare_model, "compiler", None)
        return [] if compiler is None else [("compiled", compiler.describe())]
