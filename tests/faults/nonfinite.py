"""Values that are not finite, put into each place of a training where they may come from."""

import math
from pathlib import Path
from typing import Any

import torch
from mmengine.hooks import Hook

from diffkit.datasets import ConceptDataset
from diffkit.datasets.draw import as_draw
from diffkit.models.objectives import Denoising
from tests.faults.training import Job
from tests.faults.trial import differences, invalid, not_finite, resumed, started, undisturbed

PICTURE = 2  # index of the bad one among five; the batch has one picture, so that every fifth step meets it
STEPS = (4, 7)  # iterations of a fault that passes


def bad_picture(runner: Any) -> None:
    """One picture's pixels are not numbers."""
    _change_picture(lambda pixels: pixels.fill_(math.nan))


def bad_latents(runner: Any) -> None:
    """One picture, all white to know it by, makes the VAE overflow."""
    _change_picture(lambda pixels: pixels.fill_(1.0))
    vae = runner.bare_model.components["vae"]
    encode = vae.encode

    def overflowing(pixels: torch.Tensor) -> Any:
        encoded = encode(pixels)
        if bool((pixels == 1).all()):
            encoded.latent_dist.parameters.fill_(math.inf)
            encoded.latent_dist.mean.fill_(math.inf)
        return encoded

    vae.encode = overflowing


def bad_loss(runner: Any, steps: tuple[int, ...] | None = STEPS) -> None:
    """The loss of some iterations, or of all."""
    compare = Denoising.compare

    def broken(objective: Denoising, *args: Any) -> torch.Tensor:
        loss = compare(objective, *args)
        return loss * math.nan if steps is None or runner.iter in steps else loss

    setattr(Denoising, "compare", broken)  # noqa: B010


def bad_gradient(runner: Any, steps: tuple[int, ...] | None = STEPS) -> None:
    """One gradient of some iterations, or of all; the loss is finite."""
    parameter = next(iter(runner.bare_model.trainable_parameters().values()))
    parameter.register_hook(lambda grad: grad * math.inf if steps is None or runner.iter in steps else grad)


def bad_loss_for_ever(runner: Any) -> None:
    """The loss of all iterations after the second checkpoint."""
    bad_loss(runner, tuple(range(6, 1000)))


def bad_gradient_for_ever(runner: Any) -> None:
    """The gradient of all iterations after the second checkpoint."""
    bad_gradient(runner, tuple(range(6, 1000)))


def bad_weight(runner: Any) -> None:
    """A weight turns into no number between the fourth step and the fifth."""

    class Break(Hook):
        alters_training = False

        def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
            if runner.iter == 4:
                next(iter(runner.bare_model.trainable_parameters().values())).data.view(-1)[0] = math.nan

    runner.register_hook(Break())


def bad_average(runner: Any) -> None:
    """The average of a weight turns infinite before the second checkpoint; nothing else shows it."""

    class Break(Hook):
        priority = "VERY_LOW"
        alters_training = False

        def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
            if runner.iter == 5:
                average = next(hook for hook in runner.hooks if hasattr(hook, "shadow"))
                next(iter(average.shadow.values())).view(-1)[0] = math.inf

    runner.register_hook(Break())


#: Where: the cause, whether it ends the training, what has to be said.
CASES: dict[str, tuple[Any, bool, str]] = {
    "a picture": (bad_picture, False, "the pixels of striped_heart-2 are not finite"),
    "its latents": (bad_latents, False, "the latents of striped_heart-2 are not finite"),
    "the loss, twice": (bad_loss, False, "The loss is not finite at iteration 4"),
    "a gradient, twice": (bad_gradient, False, "The gradient is not finite at iteration 7"),
    "the loss, for ever": (bad_loss_for_ever, True, "the loss is not finite at iteration 8 (optimizer step 6)"),
    "a gradient, for ever": (bad_gradient_for_ever, True, "the gradient is not finite at iteration 8"),
    "a weight": (bad_weight, True, "not finite (first: unet."),
    "the average": (bad_average, True, "no checkpoint was written after iteration 5"),
}


def nonfinite_trial(case: str, work: Path, pretrained: Path) -> dict[str, Any]:
    """Trains with a fault. Where that ends the training, goes on without it and compares.

    Returns:
        ``status`` of the end, ``faults``: empty at best.
    """
    prepare, ends, message = CASES[case]
    job = Job(work / f"nan_{''.join(filter(str.isalnum, case))}", pretrained, prepare=prepare)
    with started(job) as (trial,):
        status = trial.finish()
    faults = [] if message in trial.text else [f"no message {message!r}:\n{trial.text[-3000:]}"]
    faults += [f"not valid: {line}" for line in invalid(job.work_dir)]
    faults += [f"not finite: {line}" for line in not_finite(job.work_dir)]
    if (status != 0) != ends:
        faults.append(f"exit status {status}")
    if not list(job.work_dir.glob("step*")):
        faults.append("no checkpoint is there")
    if ends:
        faults += differences(undisturbed(work, pretrained, {}), resumed(job).job.work_dir, logs=False)
    return {"status": status, "faults": faults}


def _change_picture(change: Any) -> None:
    getitem = ConceptDataset.__getitem__

    def changed(dataset: ConceptDataset, item: Any) -> Any:
        sample = getitem(dataset, item)
        if as_draw(item).index == PICTURE and isinstance(sample, dict):
            sample = {**sample, "pixel_values": sample["pixel_values"].clone()}
            change(sample["pixel_values"])
        return sample

    setattr(ConceptDataset, "__getitem__", changed)  # noqa: B010
