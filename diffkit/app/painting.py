"""Pictures for the page: one model in memory on each side, loaded anew only where the choice has changed."""

import gc
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffkit.apis.load_pipeline import load_pipeline
from diffkit.apis.text_to_image import about_pictures, save_pictures
from diffkit.app.fields import FieldError
from diffkit.app.jobs import Job
from diffkit.app.models import Choice, fingerprint
from diffkit.app.paint_settings import PaintSettings
from diffkit.utils.images import picture_grid, save_png
from diffkit.utils.pretrained import as_the_user_named

#: Pixels that are painted at once at most: four pictures of Stable Diffusion 1.5.
_AT_ONCE = 4 * 512 * 512
_BATCH = 8


@dataclass
class Painted:
    """Pictures in a folder of their own, which is dropped unless they are saved.

    Attributes:
        folder: where they lie.
        files: the single pictures, as names in the folder; of a comparison those of A, then those of B.
        captions: of each.
        grid: all in one, or None where there is but one.
        title: begins the name of the folder that they are saved to.
        columns: pictures in a row of the page.
    """

    folder: Path
    files: list[str]
    captions: list[str]
    grid: str | None
    title: str
    columns: int


class Painter:
    """Paints, with one model in memory for each of the sides "a" and "b".

    Args:
        device: as for :func:`diffkit.apis.load_pipeline`.
        dtype: likewise.
    """

    def __init__(self, device: str | None = None, dtype: str | None = None) -> None:
        self.device, self.dtype = device, dtype
        self._loaded: dict[str, tuple[Any, Any, Any]] = {}  # by side: what was chosen, the pipeline, its sampler
        self._place = tempfile.TemporaryDirectory(prefix="diffkit-app-", ignore_cleanup_errors=True)

    def close(self) -> None:
        """Removes pictures that were not saved."""
        self._place.cleanup()

    def forget(self, painted: Painted) -> None:
        """Removes pictures."""
        shutil.rmtree(painted.folder, ignore_errors=True)

    def paint(self, job: Job, choice: Choice, settings: PaintSettings) -> Painted:
        """Paints with one model."""
        self._loaded.pop("b", None)  # the page shows one model now: the other may have its memory back
        folder = Path(tempfile.mkdtemp(dir=self._place.name))
        files = self._side(job, "a", choice, settings, folder, (0.0, 1.0))
        grid = files.pop() if settings.images > 1 else None
        return Painted(folder, files, [f"seed {seed}" for _, seed in settings.wanted], grid, settings.prompt,
                       settings.columns)

    def compare(self, job: Job, choices: Sequence[Choice], settings: PaintSettings) -> Painted:
        """Paints the same noise with two models, and puts their pictures side by side.

        Where no size was chosen both paint that of the first model, for other sizes have other noise.
        """
        from PIL import Image

        folder = Path(tempfile.mkdtemp(dir=self._place.name))
        sides, captions = [], []
        for number, (side, choice) in enumerate(zip("ab", choices, strict=True)):
            files = self._side(job, side, choice, settings, folder / side, (number / 2, (number + 1) / 2))
            files = [f"{side}/{name}" for name in files[:settings.images]]
            sides.append(files)
            captions += [f"{side.upper()}: {choice.title}, seed {seed}" for _, seed in settings.wanted]
            if number == 0 and settings.height is None and settings.width is None:
                with Image.open(folder / files[0]) as first:
                    settings = PaintSettings(**{**vars(settings), "width": first.width, "height": first.height})
        pictures = []
        for name in (name for pair in zip(*sides, strict=True) for name in pair):
            with Image.open(folder / name) as picture:
                pictures.append(picture.convert("RGB"))
        pairs = [caption for pair in zip(captions[:settings.images], captions[settings.images:], strict=True)
                 for caption in pair]
        save_png(picture_grid(pictures, pairs, 2), folder / "comparison.png",
                 {"prompt": settings.prompt, "seed": settings.seed, "models": [choice.title for choice in choices]})
        return Painted(folder, [*sides[0], *sides[1]], captions, "comparison.png", settings.prompt, 2)

    def _side(self, job: Job, side: str, choice: Choice, settings: PaintSettings, folder: Path,
              span: tuple[float, float]) -> list[str]:
        """Paints with one model into a folder; the names of the files, the grid last where there are several."""
        from diffkit.models.generation import GenerationSettings, generate

        begin, end = span
        job.report(f"loading {choice.title}", begin)
        pipe = self._pipeline(side, choice, "lcm" if settings.sampler == "lcm" else "auto")
        sampling = GenerationSettings(
            settings.steps, settings.guidance, settings.negative, settings.height, settings.width,
            None if settings.sampler in ("auto", "lcm") else settings.sampler)
        wanted, images = settings.wanted, []
        batch = _batch(pipe, settings)
        count = -(-len(wanted) // batch) * settings.steps
        with _counted(pipe, job, f"painting with {choice.title}", count, begin, end):
            for start in range(0, len(wanted), batch):
                prompts, seeds = zip(*wanted[start:start + batch], strict=True)
                images += generate(pipe, prompts, seeds, sampling)
        weights = list(choice.weights) if choice.steps else None
        about = about_pictures(pipe, choice.pretrained, choice.steps, weights, sampling)
        if settings.sampler == "lcm":  # which the pipeline was loaded with
            about["sampler"] = "lcm"
        return [file.name for file in save_pictures(images, wanted, about, folder, settings.columns)]

    def _pipeline(self, side: str, choice: Choice, scheduler: str) -> Any:
        """The pipeline of a side with its own sampler, loaded where it is not there already."""
        with as_the_user_named(pretrained=f"model {side.upper()}", steps="step folder"):
            return self._reused_or_loaded(side, choice, scheduler)

    def _reused_or_loaded(self, side: str, choice: Choice, scheduler: str) -> Any:
        wanted = (fingerprint(choice), scheduler)
        if side in self._loaded and self._loaded[side][0] == wanted:
            _, pipe, sampler = self._loaded[side]
        else:
            self._loaded.pop(side, None)  # before the next one is loaded: both may not fit
            gc.collect()
            pipe = load_pipeline(choice.pretrained, choice.steps, weights=choice.weights if choice.steps else None,
                                 device=self.device, dtype=self.dtype, scheduler=scheduler)
            sampler = pipe.scheduler
            self._loaded[side] = wanted, pipe, sampler
        pipe.scheduler = sampler  # an earlier picture may have asked for another one
        return pipe


def save_to(painted: Painted, root: Path, name: str) -> Path:
    """Copies pictures to a new folder ``root/name``, with ``_2``, ``_3`` … where that is taken; returns it."""
    number, folder = 1, root / name
    while folder.exists():
        number += 1
        folder = root / f"{name}_{number}"
    try:
        shutil.copytree(painted.folder, folder)
    except OSError as error:
        raise FieldError("save", f"{folder} cannot be written ({error.strerror or error})") from None
    return folder


def _batch(pipe: Any, settings: PaintSettings) -> int:
    """How many pictures are painted at once: as many as a few of the usual size have pixels."""
    own = pipe.unet.config.sample_size * pipe.vae_scale_factor
    pixels = (settings.height or own) * (settings.width or own)
    return max(1, min(_BATCH, settings.images, _AT_ONCE // pixels))


@contextmanager
def _counted(pipe: Any, job: Job, doing: str, count: int, begin: float, end: float) -> Iterator[None]:
    """Reports every call of the UNet inside ``with``; there a job can be cancelled too."""
    calls = 0

    def count_call(*_: Any) -> None:
        nonlocal calls
        calls += 1
        job.report(doing, begin + (end - begin) * min(calls / count, 1.0))

    hook = pipe.unet.register_forward_pre_hook(count_call)
    try:
        yield
    finally:
        hook.remove()
