"""Trainings on a disk that is full: a small tmpfs, where one can be mounted."""

import errno
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmengine.hooks import Hook

from diffkit.engine.files import free_bytes
from diffkit.models import LatentDiffusion
from tests.faults.training import INTERVAL, Job
from tests.faults.trial import differences, invalid, resumed, started, undisturbed

BALLAST = "ballast"
PRIOR = {
    "train_dataloader.dataset.class_prompt": "a photo of a heart",
    "train_dataloader.dataset.num_class_images": 3,
    "custom_hooks": [
        {"type": "EMAHook", "decay": 0.9},
        {"type": "PriorImagesHook", "num_inference_steps": 1},
    ],
}
SAMPLES = {"custom_hooks": [{"type": "EMAHook", "decay": 0.9}, {"type": "SampleHook", "prompts": ["a"], "interval": 4}]}


class NoSmallDisk(Exception):
    """No small file system can be mounted here."""


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[Path]:
    """A file system of ``size`` bytes at ``folder``.

    Raises:
        NoSmallDisk: mounting one takes root (or the right CAP_SYS_ADMIN), which this user has not.
    """
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "diffkit-faults", str(folder)]
    try:
        result = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise NoSmallDisk(f"a full disk needs a small tmpfs, and mount is not there: {error}") from None
    if result.returncode:
        raise NoSmallDisk(f"a full disk needs a small tmpfs, which only root may mount: {result.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def fill(folder: Path, leave: int = 0) -> None:
    """Fills a file system until ``leave`` bytes are free."""
    with (folder / BALLAST).open("ab", buffering=0) as file:
        size = max(0, free_bytes(folder) - leave)
        try:
            while size > 0:
                size -= file.write(bytes(min(size, 65536)))
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise


def make_room(folder: Path) -> None:
    """Takes the ballast away."""
    (folder / BALLAST).unlink(missing_ok=True)


class FillBetween(Hook):
    """Keeps a disk full in one part of each iteration: from the place of one hook to that of another.

    Args:
        disk: the file system.
        when: ``step``: from before the step until before the checkpoint; ``samples``: after the checkpoint.
    """

    alters_training = False

    def __init__(self, disk: Path, when: str) -> None:
        self.disk = disk
        self.when = when
        self.priority = {"step": 85, "samples": 95}[when]  # a checkpoint has 90, sample pictures have 100

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        """Room again, or none."""
        (fill if self.when == "step" else make_room)(self.disk)

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """None, or room again."""
        (make_room if self.when == "step" else fill)(self.disk)

    def after_train(self, runner: Any) -> None:
        """Room again."""
        make_room(self.disk)


def full_before_saving(runner: Any) -> None:
    """No room before the second checkpoint: the forecast sees it."""
    _when_saving(runner, 2, lambda: fill(_disk(runner), 4096))


def full_while_saving(runner: Any) -> None:
    """The disk fills up while the second checkpoint is written."""
    count = 0
    artifacts = LatentDiffusion.artifacts

    def then_full(model: LatentDiffusion) -> Any:
        nonlocal count
        count += 1
        if count == 2:
            fill(_disk(runner), 20000)
        return artifacts(model)

    setattr(LatentDiffusion, "artifacts", then_full)  # noqa: B010


def full_for_logs(runner: Any) -> None:
    """Every log line meets a full disk, every checkpoint finds room."""
    runner.register_hook(FillBetween(_disk(runner), "step"))


def full_for_samples(runner: Any) -> None:
    """Every sample picture meets a full disk, every checkpoint finds room."""
    runner.register_hook(FillBetween(_disk(runner), "samples"))


def full_for_prior(runner: Any) -> None:
    """The disk fills up after the first prior picture."""
    from diffkit.engine.hooks import prior_images

    save = prior_images.save_prior

    def save_and_fill(root: Path, *args: Any) -> Path:
        path = save(root, *args)
        fill(_disk(runner))
        return path

    setattr(prior_images, "save_prior", save_and_fill)  # noqa: B010


def full_from_the_start(runner: Any) -> None:
    """No room for the first checkpoint: told before the first step."""
    fill(_disk(runner), 20000)


def full_to_the_last_byte(runner: Any) -> None:
    """No room for anything, not for the lock's content nor for the config: told in the same words."""
    fill(_disk(runner))


#: What is full: the cause, changes of the config, whether the training ends, what it has to say.
CASES: dict[str, tuple[Any, dict[str, Any], bool, str]] = {
    "before step 0": (full_from_the_start, {}, True, r"needs .*\(\d+ bytes\), .*\(\d+ bytes\) are free.*make room"),
    "before step 0, not a byte free": (full_to_the_last_byte, {}, True,
                                       r"needs .*\(\d+ bytes\), .*\(0 bytes\) are free.*make room"),
    "before a checkpoint": (full_before_saving, {}, True,
                            r"no room for a checkpoint.*\(\d+ bytes\), .*\(\d+ bytes\) are free.*make room and resume"),
    "in a checkpoint": (full_while_saving, {}, True,
                        r"no room for the checkpoint step\d+.*\(\d+ bytes\), .*\(\d+ bytes\) are free.*make room and"),
    "in the prior pictures (the cache on disk)": (full_for_prior, PRIOR, True,
                                                  r"no room for the prior images.*\d+ bytes\), .*\d+ bytes\) are free"),
    "in sample pictures": (full_for_samples, SAMPLES, False, r"Sampling failed .* the training goes on"),
    "in log and tracker": (full_for_logs, {}, False, r"cannot be written, the training goes on"),
}


def disk_trial(case: str, work: Path, pretrained: Path, more: dict[str, Any] | None = None) -> dict[str, Any]:
    """Trains on a disk that fills up, makes room, goes on, and compares with a training that had room.

    Args:
        case: of ``CASES``.
        work: for its files.
        pretrained: the model.
        more: further changes of the config.

    Returns:
        ``status`` of the end, ``said`` what the message was, ``faults``: empty at best.

    Raises:
        NoSmallDisk: none can be mounted.
    """
    prepare, changes, ends, pattern = CASES[case]
    changes = changes | (more or {})
    place = work / "disk" / "".join(filter(str.isalnum, case + "beside" * bool(more)))
    with small_disk(place, 8_000_000):
        job = Job(place / "run", pretrained, changes, prepare, prints=work / f"disk_{place.name}.log")
        job.log.unlink(missing_ok=True)
        with started(job) as (trial,):
            status = trial.finish()
        match = re.search(pattern, " ".join(trial.text.split()))
        faults = [] if match else [f"no message like {pattern}:\n{trial.text[-3000:]}"]
        faults += [f"not valid: {line}" for line in invalid(job.work_dir)]
        if (status != 0) != ends:
            faults.append(f"exit status {status}")
        if case.endswith("checkpoint") and not (job.work_dir / f"step{INTERVAL - 1}").is_dir():
            faults.append("the checkpoint before it is gone")
        make_room(place)
        if ends:
            resumed(job)
        faults += differences(undisturbed(work, pretrained, changes), job.work_dir, logs="log" not in case)
    return {"status": status, "said": match[0][:200] if match else "", "faults": faults}


def _disk(runner: Any) -> Path:
    return Path(runner.work_dir).parent


def _when_saving(runner: Any, number: int, act: Any) -> None:
    from diffkit.engine.hooks import CheckpointHook

    save, count = CheckpointHook.save, 0

    def save_then(hook: CheckpointHook, runner: Any) -> Path:
        nonlocal count
        count += 1
        if count == number:
            act()
        return save(hook, runner)

    setattr(CheckpointHook, "save", save_then)  # noqa: B010
