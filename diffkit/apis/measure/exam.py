"""What a personalised miniature is asked to paint: what it was taught, and ordinary prompts."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from diffkit.apis.load_pipeline import load_pipeline
from diffkit.apis.measure import report
from diffkit.apis.measure.pictures import SETTINGS, Samples, Say, sample, score
from diffkit.datasets import ConceptPrompts, NamedGroups, ShapesPrompts
from diffkit.evaluation import ConceptAccuracy, PromptAccuracy

#: Seed of the ordinary prompts; others than those of the miniature's own table.
ORDINARY_SEED = 77


class Exam:
    """Asks models for one or several concepts on each of their backgrounds, and for ordinary pictures.

    Args:
        pretrained: the model that all of the trainings begin with.
        subjects: the words that stand for each concept in prompts, by name; None for "sks" and its shape.
        sampling_seeds: how many seeds each model is sampled with.
        per_background: pictures of a concept on each background, for each sampling seed.
        ordinary: ordinary prompts, half of them with patterns.
        say: called with lines of progress.
    """

    def __init__(self, pretrained: str, subjects: Mapping[str, str | None], sampling_seeds: int, per_background: int,
                 ordinary: int, say: Say) -> None:
        self.pretrained, self.say = pretrained, say
        self.asked: list[tuple[str, list[ConceptPrompts]]] = []
        for concept, subject in subjects.items():
            count = len(ConceptPrompts(concept, 1).backgrounds) * per_background
            self.asked.append((concept, [
                ConceptPrompts(concept, count, subject, seed=seed) for seed in range(sampling_seeds)]))
        self.ordinary = ShapesPrompts(ordinary, ORDINARY_SEED, "train", "mixed")
        self.settings = {
            "concepts": {concept: groups[0].subject for concept, groups in self.asked},
            "weights": report.pretrained_digest(pretrained),
            "sampling_seeds": sampling_seeds,
            "pictures_of_each_concept": sum(len(prompts) for prompts in self.asked[0][1]),
            "ordinary_prompts": ordinary,
        }

    def take(self, steps: Sequence[Path]) -> dict[str, Any]:
        """Scores of the model with some step folders.

        Returns:
            ``concept``: of all concepts together, ``concepts``: of each, ``hit_by_sampling_seed``, ``ordinary``, and
            ``ordinary_taken_for_concept``: the share of ordinary pictures that show a concept.
        """
        pipe = load_pipeline(None if steps else self.pretrained, steps)
        painted = [(concept, [sample(pipe, prompts, SETTINGS, say=self.say) for prompts in groups])
                   for concept, groups in self.asked]
        ordinary = sample(pipe, self.ordinary, SETTINGS, say=self.say)
        by_concept = {concept: [each for pictures in groups for each in pictures] for concept, groups in painted}
        seeds = range(len(self.asked[0][1]))
        return {
            "concept": concept_scores(by_concept),
            "concepts": {concept: concept_scores({concept: samples}) for concept, samples in by_concept.items()},
            "hit_by_sampling_seed": [
                concept_scores({concept: groups[seed] for concept, groups in painted})["hit"] for seed in seeds],
            "ordinary": score(PromptAccuracy(), ordinary),
            "ordinary_taken_for_concept": sum(
                score(ConceptAccuracy(concept), [{"image": each["image"]} for each in ordinary])["hit"]
                for concept in by_concept),
        }

    def show(self, steps: Sequence[Path]) -> Samples:
        """A picture of each concept on each background."""
        pipe = load_pipeline(None if steps else self.pretrained, steps)
        return [{**each, "concept": concept} for concept, groups in self.asked for each in sample(
            pipe, ConceptPrompts(concept, len(groups[0].backgrounds), groups[0].subject), SETTINGS)]


def exam_subjects(dataset: Mapping[str, Any]) -> dict[str, str | None]:
    """The concepts, and the words for each, that the test data of a config ask for.

    Args:
        dataset: the config of ``ConceptPrompts``, or of ``NamedGroups`` of them.

    Raises:
        ValueError: the test data ask for no drawn concept.
    """
    groups = [dataset]
    if dataset.get("type") in (NamedGroups, NamedGroups.__name__):
        groups = list(dataset["groups"].values())
    if any(group.get("type") not in (ConceptPrompts, ConceptPrompts.__name__) for group in groups):
        raise ValueError("test_dataloader.dataset: it must be ConceptPrompts, or NamedGroups of them, to say which "
                         f"concept the training is measured by; got {dataset.get('type')!r}.")
    return {group["concept"]: group.get("subject") for group in groups}


def concept_scores(samples: Mapping[str, Samples]) -> dict[str, float]:
    """What :class:`~diffkit.evaluation.ConceptAccuracy` says of pictures of several concepts together."""
    readings: list[dict[str, bool]] = []
    for concept, pictures in samples.items():
        metric = ConceptAccuracy(concept)
        metric.process(None, pictures)
        readings += metric.results
    return metric.compute_metrics(readings)
