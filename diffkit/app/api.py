"""What the page can ask for: plain values in, plain values out, and no HTTP."""

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from diffkit.app.fields import FieldError, Fields, file_name
from diffkit.app.jobs import Job, Jobs
from diffkit.app.models import BY_STEPS, Models
from diffkit.app.paint_settings import read_settings
from diffkit.app.photos import MOST_BYTES, MOST_PHOTOS, MOST_PIXELS, Photos
from diffkit.app.recipes import DEFAULT, recipe_names, recipes
from diffkit.app.roots import Roots
from diffkit.app.settings_file import read_wish
from diffkit.app.trainings import Trainings
from diffkit.utils.images import slug
from diffkit.version import __version__


class Api:
    """Everything behind the page.

    Args:
        roots: folders that may be read; the first is written to.
        named: models that the page may load besides, see :class:`~diffkit.app.models.Models`.
        device: to paint on.
        dtype: to paint in.
    """

    def __init__(self, roots: Roots, named: Sequence[str] = (), device: str | None = None,
                 dtype: str | None = None) -> None:
        self.roots, self.device, self.dtype = roots, device, dtype
        self.models, self.photos = Models(roots, named), Photos()
        self.trainings = Trainings(roots, self.photos)
        self.jobs = Jobs(forget=lambda painted: self.painter.forget(painted))
        self._painter: Any = None
        self._lock = threading.Lock()

    @property
    def painter(self) -> Any:
        """What paints."""
        self.load_libraries()
        return self._painter

    def load_libraries(self) -> None:
        """Imports torch and what else takes seconds: after the page has come, and in one thread alone."""
        with self._lock:
            if self._painter is None:
                import diffkit.models.generation  # noqa: F401
                from diffkit.app.painting import Painter

                recipes()
                self._painter = Painter(self.device, self.dtype)

    def close(self) -> None:
        """Ends the trainings with a checkpoint, and removes what was not saved."""
        self.trainings.close()
        self.photos.close()
        if self._painter is not None:
            self._painter.close()

    def state(self) -> dict[str, Any]:
        """What can be chosen, and what there is."""
        return {
            "version": __version__, "roots": [str(root) for root in self.roots.folders], **self.models.listed(),
            "by_steps": BY_STEPS, "configs": recipe_names(), "config": DEFAULT, "trainings": self.trainings.names(),
            "limits": {"photos": MOST_PHOTOS, "bytes": MOST_BYTES, "pixels": MOST_PIXELS}}

    def configs(self) -> list[dict[str, Any]]:
        """The configs of trainings, with their own values."""
        self.load_libraries()
        return [{"name": recipe.name, "summary": recipe.summary, "word": recipe.word, "base": recipe.base,
                 "iterations": recipe.iterations, "learning_rate": recipe.learning_rate, "seed": recipe.seed}
                for recipe in recipes().values()]

    def paint(self, values: Any) -> dict[str, Any]:
        """Puts a painting into the queue."""
        choice, settings = self.models.choice(Fields(values).values.get("model")), read_settings(values)
        return self._queued(lambda job: self.painter.paint(job, choice, settings))

    def compare(self, values: Any) -> dict[str, Any]:
        """Puts a comparison into the queue."""
        both = [self.models.choice(Fields(values).values.get(side), f"Model {side.upper()}") for side in "ab"]
        settings = read_settings(values)
        return self._queued(lambda job: self.painter.compare(job, both, settings))

    def job(self, key: str) -> dict[str, Any]:
        """How far a job is, and its pictures when it is done."""
        job = self.jobs.get(key)
        found = {"job": key, "state": job.state, "doing": job.doing, "share": job.share, "error": job.error,
                 "ahead": self.jobs.ahead(job), "seconds": job.seconds}
        painted = job.result
        if painted is not None:
            found |= {"pictures": [{"file": name, "caption": caption}
                                   for name, caption in zip(painted.files, painted.captions, strict=True)],
                      "grid": painted.grid, "columns": painted.columns}
        return found

    def cancel(self, key: str) -> dict[str, Any]:
        """Ends a job."""
        self.jobs.cancel(key)
        return {"job": key}

    def save(self, key: str) -> dict[str, str]:
        """Copies the pictures of a job into the work folder."""
        painted = self._painted(key)
        from diffkit.app.painting import save_to

        name = f"{time.strftime('%Y%m%d_%H%M%S')}_{slug(painted.title)}"
        return {"folder": str(save_to(painted, self.roots.work / "app_pictures", name))}

    def picture(self, key: str, file: str) -> Path:
        """The file of a picture; only names that :meth:`job` lists are known."""
        painted = self._painted(key)
        if file not in (*painted.files, painted.grid):
            raise FieldError("request", f"no picture {file!r} in this job")
        return painted.folder / file

    def add_photo(self, key: str, name: str, data: bytes) -> dict[str, Any]:
        """Takes a photograph into a set."""
        self.load_libraries()
        return self.photos.add(key, name, data)

    def progress(self, name: str) -> dict[str, Any]:
        """How far a training is."""
        self.load_libraries()
        return self.trainings.progress(name)

    def train(self, values: Any) -> dict[str, Any]:
        """Starts a training."""
        self.load_libraries()
        wish, photos = read_wish(values), Fields(values).text("photos", "")
        return {"training": wish.name, "cautions": self.trainings.start(wish, photos)}

    def on_training(self, name: str, action: str) -> dict[str, Any]:
        """Stops a training, or goes on with it."""
        actions: dict[str, Callable[[str], None]] = {"stop": self.trainings.stop, "resume": self.trainings.resume}
        if action not in actions or not file_name(name):
            raise FieldError("request", f"{action!r} of {name!r}; allowed: {', '.join(actions)} of a training")
        actions[action](name)
        return {"training": name}

    def _queued(self, work: Callable[[Job], Any]) -> dict[str, Any]:
        return self.job(self.jobs.add(work).key)

    def _painted(self, key: str) -> Any:
        painted = self.jobs.get(key).result
        if painted is None:
            raise FieldError("request", "there are no pictures yet")
        return painted
