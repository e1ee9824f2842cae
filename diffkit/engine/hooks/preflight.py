"""What a training is going to do, before it does it."""

from typing import Any

from mmengine.hooks import Hook

from diffkit.datasets.item_shape import ItemShape, bucket_rows, bucket_warnings
from diffkit.engine.resolution import resolution_warnings
from diffkit.registry import HOOKS


@HOOKS.register_module()
class PreflightHook(Hook):
    """Prints a table before the first step: what is trained, on what, for how long, and where it goes.

    It warns of pictures whose size is not the one that the model was made for, and of buckets with few pictures.

    Another hook adds lines by a method ``preflight(runner) -> list[tuple[name, text]]``.
    """

    priority = "VERY_HIGH"
    alters_training = False

    def before_train(self, runner: Any) -> None:
        """Refuses prompts that the tuners cannot learn from, and prints the table."""
        _check_prompts(runner)
        if runner.rank == 0:
            rows = self.rows(runner)
            width = max(len(name) for name, _ in rows)
            runner.logger.info("Training:\n" + "\n".join(f"  {name:<{width}}  {text}" for name, text in rows))
            loader = runner.train_dataloader
            for warning in [*resolution_warnings(runner), *bucket_warnings(_shapes(loader), loader.batch_size)]:
                runner.logger.warning(warning)

    def rows(self, runner: Any) -> list[tuple[str, str]]:
        """Returns the lines of the table: a name and a text each."""
        model, wrapper, loader = runner.bare_model, runner.optim_wrapper, runner.train_dataloader
        parameters = model.trainable_parameters()
        rows = [
            (
                "trained",
                f"{sum(value.numel() for value in parameters.values()):,} values in {len(parameters)} tensors",
            )
        ]
        rows += [(f"  {name}", tuner.describe()) for name, tuner in (getattr(model, "tuners", None) or {}).items()]
        slots = (("structure", getattr(model, "pruner", None)), ("teacher", getattr(model, "distiller", None)))
        rows += [(name, slot.describe()) for name, slot in slots if slot is not None]
        summary = getattr(loader.dataset, "summary", None)
        rows.append(("data", summary() if callable(summary) else f"{len(loader.dataset)} samples"))
        rows += getattr(model, "cache_rows", list)()
        rows += bucket_rows(_shapes(loader))
        rates = sorted({group.get("initial_lr", group["lr"]) for group in wrapper.optimizer.param_groups})
        rows += [
            ("iterations", f"{runner.max_iters} ({_steps(runner.optimizer_steps())}), from {runner.iter}"),
            ("batch", _batch(loader.batch_size, wrapper.accumulative_counts, runner.max_iters, runner.world_size)),
            ("learning rate", ", ".join(f"{rate:g}" for rate in reversed(rates))),
            (
                "precision",
                "float32" if wrapper.dtype is None else f"{wrapper.dtype} autocast".removeprefix("torch."),
            ),
            ("device", str(wrapper.device)),
            ("output", runner.work_dir),
        ]
        for hook in runner.hooks:
            if hasattr(hook, "preflight"):
                rows += hook.preflight(runner)
        return rows


def _shapes(loader: Any) -> list[ItemShape]:
    """The shapes of all items, where the data have buckets."""
    shapes = getattr(loader.dataset, "item_shapes", None)
    return shapes() if callable(shapes) else []


def _check_prompts(runner: Any) -> None:
    """Lets the model look at the prompts of the data, where the data know them beforehand."""
    texts, check = (getattr(where, name, None) for where, name in (
        (runner.train_dataloader.dataset, "texts"), (runner.bare_model, "check_prompts")))
    if callable(texts) and callable(check):
        check(texts())


def _batch(size: int, counts: int, iterations: int, processes: int) -> str:
    """What one optimizer step sees, and the last one where the iterations are no multiple of the accumulation."""
    used, rest = min(counts, iterations), iterations % counts
    text = f"{size * used * processes} = {size} x {used} (accumulation) x {processes} (processes)"
    if counts > iterations:
        verb = "is" if iterations == 1 else "are"
        return f"{text}; accumulative_counts is {counts}, but there {verb} only {iterations}"
    return f"{text}; {size * rest * processes} in the last optimizer step" if rest else text


def _steps(count: int) -> str:
    return f"{count} optimizer step{'' if count == 1 else 's'}"
