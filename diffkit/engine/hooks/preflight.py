"""What a training is going to do, before it does it."""

from typing import Any

from mmengine.hooks import Hook

from diffkit.registry import HOOKS


@HOOKS.register_module()
class PreflightHook(Hook):
    """Prints a table before the first step: what is trained, on what, for how long, and where it goes.

    Another hook adds lines by a method ``preflight(runner) -> list[tuple[name, text]]``.
    """

    priority = "VERY_HIGH"

    def before_train(self, runner: Any) -> None:
        """Prints the table."""
        if runner.rank == 0:
            rows = self.rows(runner)
            width = max(len(name) for name, _ in rows)
            runner.logger.info("Training:\n" + "\n".join(f"  {name:<{width}}  {text}" for name, text in rows))

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
        summary = getattr(loader.dataset, "summary", None)
        rows.append(("data", summary() if callable(summary) else f"{len(loader.dataset)} samples"))
        effective = wrapper.accumulative_counts * loader.batch_size * runner.world_size
        rates = sorted({group.get("initial_lr", group["lr"]) for group in wrapper.optimizer.param_groups})
        rows += [
            (
                "iterations",
                f"{runner.max_iters} ({runner.optimizer_steps()} optimizer steps), from {runner.iter}",
            ),
            (
                "batch",
                f"{effective} = {loader.batch_size} x {wrapper.accumulative_counts} (accumulation) x "
                f"{runner.world_size} (processes)",
            ),
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
