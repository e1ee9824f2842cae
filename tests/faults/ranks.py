"""Two processes: one is killed; and together they see what one alone would see."""

import random
import signal
import time
from pathlib import Path
from typing import Any

import torch
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from safetensors.torch import load_file, save_file

from diffkit.engine import OptimWrapper
from diffkit.models.noise import WhiteNoise
from tests.faults.training import Job
from tests.faults.trial import Trial, forget, invalid, started

GRACE = 30  # seconds within which the other process has to end
LONG = {"train_cfg.max_iters": 100_000}
REASON = "another process of this training has ended"


def pair(work_dir: Path, pretrained: Path, changes: dict[str, Any], prepare: Any = None) -> list[Job]:
    """The jobs of one training in two processes."""
    store = Path(f"{work_dir}.store")
    store.unlink(missing_ok=True)
    return [Job(work_dir, pretrained, changes, prepare, rank, 2, store) for rank in (0, 1)]


def lost_rank_trial(number: int, inside: bool, work: Path, pretrained: Path) -> dict[str, Any]:
    """Kills one of two processes and waits for the other.

    Args:
        number: of the trial; process and moment follow from it.
        inside: kill the process while a checkpoint is written.
        work: for its files.
        pretrained: the model.

    Returns:
        ``killed``: the rank, ``seconds`` that the other took, ``faults``: empty at best.
    """
    chance = random.Random(f"rank {number}")
    jobs = pair(work / f"lost{number}", pretrained, LONG)
    forget(jobs[0])
    with started(*jobs) as trials:
        victim, other = (trials, trials[::-1])[number % 2]
        _wait(victim, inside, chance)
        victim.signal(signal.SIGKILL)
        begin = time.monotonic()
        victim.finish()
        status = other.finish(2 * GRACE)
        seconds = time.monotonic() - begin
    faults = [] if status is not None else [f"the other process still ran after {2 * GRACE} s"]
    if status == 0:
        faults.append("the other process says that all is well")
    if seconds > GRACE:
        faults.append(f"the other process took {seconds:.1f} s")
    if REASON not in other.text:
        faults.append(f"the other process does not say why:\n{other.text[-3000:]}")
    faults += [f"not valid: {line}" for line in invalid(jobs[0].work_dir)]
    if not faults:
        forget(jobs[0])
    return {"killed": victim.job.rank, "inside": inside, "seconds": seconds, "faults": faults}


def _wait(victim: Trial, inside: bool, chance: random.Random) -> None:
    if inside:
        victim.wait_for("save", chance.randint(1, 3))
        time.sleep(chance.random() * 0.05)
    else:
        victim.wait_for("step", chance.randint(1, 8))
        time.sleep(chance.random() * 0.2)


def same_for_any_rank(runner: Any) -> None:
    """Noise of a sample follows from its latents, whichever process has it; each step's gradients are written down."""
    setattr(DiagonalGaussianDistribution, "sample", lambda posterior, *_: posterior.mode())  # noqa: B010
    objective = runner.bare_model.objective
    objective.noise, objective.timesteps = _NoiseOfSample(), _middle
    step, names = OptimWrapper.step, {id(v): name for name, v in runner.bare_model.trainable_parameters().items()}

    def write_and_step(wrapper: OptimWrapper, **kwargs: Any) -> None:
        held = [value for value in wrapper.parameters() if value.grad is not None]
        gradients = {names[id(value)]: value.grad.clone() for value in held if value.grad is not None}
        save_file(gradients, f"{runner.work_dir}.gradients{runner.rank}_{wrapper.optimizer_steps}")
        step(wrapper, **kwargs)

    setattr(OptimWrapper, "step", write_and_step)  # noqa: B010


class _NoiseOfSample(WhiteNoise):
    def __call__(self, latents: torch.Tensor, generator: torch.Generator | None = None) -> torch.Tensor:
        rows = []
        for row in latents:
            seed = int(row.double().abs().sum() * 1e6) % 2**31
            rows.append(torch.randn(row.shape, generator=torch.Generator().manual_seed(seed)))
        return torch.stack(rows)


def _middle(count: int, steps: int, device: torch.device) -> torch.Tensor:
    return torch.full((count,), steps // 2, device=device)


def gradients_trial(tuner: dict[str, Any], work: Path, pretrained: Path) -> dict[str, Any]:
    """Takes three steps with two processes, and with one that has a batch of twice the size.

    Returns:
        ``largest``: of the gradients; ``difference``: the largest one, over all steps and both processes; ``steps``.
    """
    changes = {"model.tuners": {"unet": tuner}, "train_cfg.max_iters": 3,
               "train_dataloader.dataset.caption_dropout": 0.0}
    two = pair(work / "two", pretrained, changes, same_for_any_rank)
    one = Job(work / "one", pretrained, changes | {"train_dataloader.batch_size": 2}, same_for_any_rank)
    for job in (two[0], one):
        forget(job)
    with started(*two, one) as trials:
        for trial in trials:
            if trial.finish() != 0:
                raise AssertionError(trial.text)
    largest, difference = 0.0, 0.0
    for step in range(3):
        expected = load_file(f"{one.work_dir}.gradients0_{step}")
        for rank in (0, 1):
            given = load_file(f"{two[0].work_dir}.gradients{rank}_{step}")
            if given.keys() != expected.keys():
                raise AssertionError("other parameters have gradients")
            for name, value in expected.items():
                largest = max(largest, float(value.abs().max()))
                difference = max(difference, float((given[name] - value).abs().max()))
    return {"largest": largest, "difference": difference, "steps": 3}
