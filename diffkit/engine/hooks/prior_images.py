"""Generates the prior pictures that a dataset misses, before the first step."""

import errno
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from mmengine.dist import barrier, get_dist_info
from mmengine.hooks import Hook

from diffkit.datasets.prior import PriorImages, PriorJob, check_recipe, save_prior, share, write_recipe
from diffkit.engine.errors import DiskFullError
from diffkit.engine.files import format_bytes, free_bytes, is_disk_full
from diffkit.engine.seeding import preserved_randomness
from diffkit.engine.sharding import whole_weights
from diffkit.registry import HOOKS


@HOOKS.register_module()
class PriorImagesHook(Hook):
    """Lets the model, as it is before training, paint the prior pictures that are missing; or its teacher.

    Only the deficit is generated, each process painting its share. Every picture has its own seed: batch
    size, number of processes and a broken off generation make no difference. Nothing in the folder is deleted
    or overwritten, and a folder whose pictures another model, prompt or setting made is refused.

    Args:
        batch_size: pictures at a time.
        num_inference_steps: denoising steps of a picture.
        guidance_scale: of classifier-free guidance.
        negative_prompt: what the pictures shall not show.
        height: in pixels; None takes the model's own size.
        width: in pixels; None takes the model's own size.
        seed: of the pictures; None takes the run's seed.
    """

    priority = "HIGH"
    alters_training = False

    def __init__(
        self,
        batch_size: int = 4,
        num_inference_steps: int = 25,
        guidance_scale: float = 7.5,
        negative_prompt: str | None = None,
        height: int | None = None,
        width: int | None = None,
        seed: int | None = None,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        if num_inference_steps < 1:
            raise ValueError(f"num_inference_steps must be at least 1, got {num_inference_steps}")
        self.batch_size = batch_size
        self.seed = seed
        self.options = {
            "negative_prompt": negative_prompt,
            "num_inference_steps": num_inference_steps,
            "guidance_scale": guidance_scale,
            "height": height,
            "width": width,
        }

    def before_train(self, runner: Any) -> None:
        """Generates what is missing for each dataset of the training, and opens it."""
        datasets = list(datasets_with_prior(runner.train_loop.dataloader.dataset))
        for number, dataset in enumerate(datasets):
            if dataset.prior.root is None:  # concepts have prompts of their own, and so folders of their own
                name = "class_images" if len(datasets) == 1 else f"class_images_{number}"
                dataset.set_prior_root(Path(runner.work_dir) / name)
            if dataset.prior.num_images:
                self._fill(runner, dataset.prior, dataset.prior.root, number)
            if dataset.prior_pictures is None:
                dataset.reload_prior()

    def _fill(self, runner: Any, prior: PriorImages, root: Path, number: int = 0) -> None:
        model = runner.bare_model
        painter = str(getattr(model, "painter", model.pretrained))
        recipe = {"pretrained": painter, "prompts": list(prior.prompts), **self.options}
        check_recipe(root, recipe)
        seed = runner.seed if self.seed is None else self.seed
        jobs = prior.plan(seed + number)  # two concepts of one class have different pictures
        barrier()  # nobody writes before everybody has counted
        if not jobs:
            return
        if runner.iter > 0:
            raise ValueError(
                f"{len(jobs)} of {prior.num_images} prior images are missing in {root}, and the model has "
                f"been trained for {runner.iter} steps: only an untrained one makes them. Put them back, or "
                "start anew"
            )
        rank, world_size = get_dist_info()
        runner.logger.info(
            f"Generating {len(jobs)} prior images into {root} ({prior.num_images - len(jobs)} are there)"
        )
        if rank == 0:
            write_recipe(root, recipe)
        teacher = getattr(model, "teacher_shown", nullcontext)
        with preserved_randomness(), whole_weights(runner.model), model.sampling(), teacher():
            try:
                generate_prior(model, share(jobs, rank, world_size), root, self.batch_size, self.options)
            except OSError as error:
                if is_disk_full(error):
                    raise _disk_full(root, prior.deficit()) from error
                raise
        barrier()


def _disk_full(root: Path, missing: int) -> DiskFullError:
    sizes = [path.stat().st_size for path in root.glob("*.png")]
    needed, free = missing * max(sizes, default=1), free_bytes(root)
    return DiskFullError(
        errno.ENOSPC,
        f"no room for the prior images in {root}: {missing} are missing, which need about {format_bytes(needed)} "
        f"({needed} bytes), {format_bytes(free)} ({free} bytes) are free; those that are there stay, make room and "
        "start again",
    )


def generate_prior(
    model: Any, jobs: Sequence[PriorJob], root: Path, batch_size: int, options: dict[str, Any]
) -> None:
    """Paints pictures with ``model.generate``; each is in the folder as soon as its batch is done.

    Call it inside ``model.sampling()``.
    """
    for start in range(0, len(jobs), batch_size):
        batch = jobs[start : start + batch_size]
        images = model.generate([job.prompt for job in batch], seeds=[job.seed for job in batch], **options)
        for job, image in zip(batch, images, strict=True):
            save_prior(root, job, image)


def datasets_with_prior(dataset: Any) -> Iterator[Any]:
    """The datasets, inside concatenations and wrappers too, that ask for prior pictures."""
    if getattr(dataset, "prior", None) is not None:
        yield dataset
    inner = getattr(dataset, "datasets", None) or [
        part for part in [getattr(dataset, "dataset", None)] if part
    ]
    for part in inner:
        yield from datasets_with_prior(part)
