"""Pictures during the training, to see what it learns."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.dist import all_gather_object, broadcast_object_list
from mmengine.hooks import Hook
from PIL import Image

from diffkit.engine.model_hash import model_hash
from diffkit.engine.seeding import preserved_randomness
from diffkit.registry import HOOKS
from diffkit.utils.images import picture_grid, save_png, slug


@HOOKS.register_module()
class SampleHook(Hook):
    """Samples the same prompts with the same seeds at an interval, and shows them beside the untrained model.

    It writes ``samples/step<N>_<i>_<prompt>.png`` with prompt, seed, settings and a hash of the model inside, and
    ``samples/step<N>.png`` with all of them, where N is the number of iterations done: N = 0 is the model before
    training. The pictures go to the visualizer too. Of several processes each paints its share of the prompts.
    Averaged weights are used if there are any. A failure is reported once; the training goes on, and is the same bit
    for bit with or without this hook.

    Args:
        prompts: what to sample, at least one.
        interval: iterations from one sampling to the next, at least 1; the end of the training is sampled
            too.
        negative_prompt: what to steer away from.
        num_inference_steps: steps of the sampler, at least 1; None takes the model's own setting.
        guidance_scale: of classifier-free guidance, 1 is none; None takes the model's own setting.
        seed: of the first prompt's picture; each next prompt has the next seed.
        height: pixels; None takes the model's own size.
        width: pixels; None takes the model's own size.
        compare_base: shows the pictures of N = 0 in every grid.
        before_train: samples before the first iteration.
        batch_size: pictures at once, at least 1; None takes all prompts at once.
    """

    priority = "LOWEST"
    alters_training = False

    def __init__(
        self,
        prompts: Sequence[str],
        interval: int = 100,
        negative_prompt: str | None = None,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        seed: int = 0,
        height: int | None = None,
        width: int | None = None,
        compare_base: bool = True,
        before_train: bool = True,
        batch_size: int | None = None,
    ) -> None:
        if isinstance(prompts, str) or not prompts:
            raise ValueError(f"prompts must be a list of at least one text, given {prompts!r}")
        for name, value in (("interval", interval), ("batch_size", batch_size or 1)):
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be an integer of at least 1, given {value!r}")
        self.prompts = list(prompts)
        self.interval = interval
        self.seeds = [seed + number for number in range(len(self.prompts))]
        self.settings = {
            "negative_prompt": negative_prompt,
            "num_inference_steps": num_inference_steps,
            "guidance_scale": guidance_scale,
            "height": height,
            "width": width,
        }
        self.compare_base = compare_base
        self.before_training = before_train or compare_base
        self.batch_size = batch_size or len(self.prompts)
        self._base: list[Image.Image] | None = None
        self._warned = False

    def before_train(self, runner: Any) -> None:
        """Samples the untrained model; a resumed training finds its pictures on the disk.

        Pictures that the broken off run owes, having ended between a checkpoint and its pictures, are made up for.
        """
        done = runner.iter
        if done == 0 and self.before_training:
            self._sample_safely(runner, 0)
        if done == 0:
            return
        self._base = self._read(Path(runner.work_dir), 0)
        owed = [not (Path(runner.work_dir) / "samples" / f"step{done:06d}.png").exists()]
        broadcast_object_list(owed, 0)
        if owed[0] and (done % self.interval == 0 or done >= runner.max_iters):
            self._sample_safely(runner, done)

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Samples if the number of iterations done is a multiple of the interval, and at the end."""
        done = runner.iter + 1
        if runner.train_loop.interrupt.signal is None and (done % self.interval == 0 or runner.train_loop.is_last):
            self._sample_safely(runner, done)

    def sample(self, runner: Any, done: int) -> list[Image.Image]:
        """Samples all prompts, and the first process writes the pictures of ``done`` iterations; all must call it."""
        with runner.averaged_weights():
            images = self.generate(runner)
            if runner.rank == 0:
                self._write(runner, images, self._texts(runner, done), done)
        return images

    def _write(self, runner: Any, images: list[Image.Image], texts: list[dict[str, Any]], done: int) -> None:
        folder = Path(runner.work_dir) / "samples"
        folder.mkdir(exist_ok=True)
        for path, image, text in zip(self._paths(folder, done), images, texts, strict=True):
            save_png(image, path, text)
        grid = self._grid(images, done)
        shared = {name: value for name, value in texts[0].items() if name not in ("prompt", "seed")}
        about = {**shared, "prompts": self.prompts, "seeds": self.seeds}
        save_png(grid, folder / f"step{done:06d}.png", about)
        runner.visualizer.add_image("samples", np.asarray(grid), step=done)

    def _grid(self, images: list[Image.Image], done: int) -> Image.Image:
        """The pictures in one row, and the untrained model's above them."""
        when = f"after {done} iterations" if done else "before training"
        captions = [f"{when}: {prompt}" for prompt in self.prompts]
        if self.compare_base and self._base is not None and done:
            images = self._base + images
            captions = [f"before training: {prompt}" for prompt in self.prompts] + captions
        return picture_grid(images, captions, columns=len(self.prompts))

    def generate(self, runner: Any) -> list[Image.Image]:
        """Samples all prompts from the live model, without a trace in it or in the random generators.

        Each process paints its share; all must call it, and all get the pictures.
        """
        own: dict[int, Image.Image] = {}
        failure: Exception | None = None
        with preserved_randomness(), runner.averaged_weights(), runner.bare_model.sampling():
            try:
                own = self._paint(runner.bare_model, range(runner.rank, len(self.prompts), runner.world_size))
            except Exception as error:  # the other processes wait for this one's share
                failure = error
        shares = all_gather_object((own, failure and f"{type(failure).__name__}: {failure}"))
        if failure is not None:
            raise failure
        for _, fault in shares:
            if fault is not None:
                raise RuntimeError(f"in another process: {fault}")
        images = {number: image for share, _ in shares for number, image in share.items()}
        return [images[number] for number in range(len(self.prompts))]

    def _paint(self, model: Any, numbers: Sequence[int]) -> dict[int, Image.Image]:
        """The pictures of some of the prompts, by the number of the prompt."""
        images: dict[int, Image.Image] = {}
        for first in range(0, len(numbers), self.batch_size):
            part = numbers[first : first + self.batch_size]
            prompts, seeds = [self.prompts[i] for i in part], [self.seeds[i] for i in part]
            images.update(zip(part, model.generate(prompts, seeds=seeds, **self.settings), strict=True))
        return images

    def _sample_safely(self, runner: Any, done: int) -> None:
        try:
            images = self.sample(runner, done)
            if done == 0:
                self._base = images
        except Exception as error:
            if not self._warned and runner.rank == 0:
                runner.logger.warning(
                    f"Sampling failed after {done} iterations, the training goes on (further failures "
                    f"are not reported): {type(error).__name__}: {error}"
                )
            self._warned = True

    def _paths(self, folder: Path, done: int) -> list[Path]:
        return [folder / f"step{done:06d}_{i}_{slug(prompt)}.png" for i, prompt in enumerate(self.prompts)]

    def _texts(self, runner: Any, done: int) -> list[dict[str, Any]]:
        """What each file says: prompt, seed, iterations done, settings of sampling, and which model it was."""
        settings = vars(runner.bare_model.settings.updated(**self.settings))
        given = {name: value for name, value in settings.items() if value is not None}
        painter = model_hash(runner)
        return [
            {"prompt": prompt, "seed": seed, "iterations": done, **given, "model_hash": painter}
            for prompt, seed in zip(self.prompts, self.seeds, strict=True)
        ]

    def _read(self, work_dir: Path, done: int) -> list[Image.Image] | None:
        paths = self._paths(work_dir / "samples", done)
        try:
            return [Image.open(path).convert("RGB") for path in paths]
        except (OSError, ValueError):  # not there, or damaged: the grid does without them
            return None
