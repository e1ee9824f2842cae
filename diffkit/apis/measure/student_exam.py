"""What a student is asked to paint, and how near its pictures are to its teacher's from the same noise."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from diffkit.apis.load_pipeline import load_pipeline
from diffkit.apis.measure import report
from diffkit.apis.measure.pictures import SETTINGS, Samples, Say, sample, score
from diffkit.datasets import ShapesPrompts
from diffkit.evaluation import PromptAccuracy, psnr
from diffkit.evaluation.shares import mean_and_error

_BATCH = 64


class StudentExam:
    """Ordinary prompts, and prompts with held-out pairs of shape and colour.

    Args:
        pretrained: the teacher.
        n: ordinary prompts, half of them with patterns.
        heldout: prompts with held-out pairs.
        seed: of the prompts and of the noise.
        cache: folder for the teacher's pictures, which each student is compared with.
        say: called with lines of progress.
    """

    def __init__(self, pretrained: str, n: int, heldout: int, seed: int, cache: Path, say: Say) -> None:
        self.pretrained, self.cache, self.seed, self.say = pretrained, cache, seed, say
        self.groups = {"ordinary": ShapesPrompts(n, seed, "train", "mixed"),
                       "heldout": ShapesPrompts(heldout, seed, "heldout", "plain")}
        self.settings = {"weights": report.pretrained_digest(pretrained), "ordinary_prompts": n,
                         "heldout_prompts": heldout, "prompt_seed": seed, "sampling": asdict(SETTINGS)}

    def take(self, student: Any) -> dict[str, Any]:
        """Scores of a student: a step folder, the config of one that is not trained, or None for the teacher itself.

        Returns:
            ``ordinary`` and ``heldout``: the shares of :class:`PromptAccuracy`; ``psnr``: in dB, of the ordinary
            pictures to the teacher's, of which the teacher itself has none.
        """
        if student is None:
            return self._scores({name: self._teachers(name) for name in self.groups})
        pipe = load_pipeline(student) if isinstance(student, str | Path) else untrained_pipeline(student)
        painted = {name: sample(pipe, prompts, SETTINGS, _BATCH, self.say) for name, prompts in self.groups.items()}
        near = [psnr(own["image"], taught["image"])
                for own, taught in zip(painted["ordinary"], self._teachers("ordinary"), strict=True)]
        return {**self._scores(painted), **mean_and_error("psnr", near)}

    @staticmethod
    def _scores(painted: dict[str, Samples]) -> dict[str, Any]:
        return {name: score(PromptAccuracy(), pictures) for name, pictures in painted.items()}

    def _teachers(self, name: str) -> Samples:
        """The teacher's pictures of a group, from the folder where they are there."""
        prompts = self.groups[name]
        known_by = [self.settings["weights"], name, len(prompts), self.seed, SETTINGS.num_inference_steps,
                    SETTINGS.guidance_scale]
        file = self.cache / ("_".join(map(str, known_by)).replace("/", "_") + ".npy")
        items = [prompts[i] for i in range(len(prompts))]
        if file.is_file():
            images: Sequence[np.ndarray] = np.load(file, allow_pickle=False)
            return [{**item, "image": image} for item, image in zip(items, images, strict=True)]
        self.say(f"teacher: {len(prompts)} pictures, {name}, prompts {self.seed}")
        painted = sample(load_pipeline(self.pretrained), prompts, SETTINGS, _BATCH, self.say)
        file.parent.mkdir(parents=True, exist_ok=True)
        aside = file.with_name(f".{file.name}")
        np.save(aside, np.stack([each["image"] for each in painted]), allow_pickle=False)
        aside.replace(file)
        return painted


def untrained_pipeline(cfg: Any) -> Any:
    """The pipeline of a config's model as it is before training: blocks are removed, nothing is learned."""
    from diffkit.registry import MODELS

    model = MODELS.build({**cfg.model, "distiller": None}).eval()
    return model.pipeline()
