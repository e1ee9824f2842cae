"""DreamBooth on a miniature, with and without what protects the model: several trainings, measured alike."""

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from diffkit.apis.load_pipeline import load_pipeline
from diffkit.apis.measure import report
from diffkit.apis.measure.dreambooth_report import contact_sheet, dreambooth_table
from diffkit.apis.measure.pictures import SETTINGS, Samples, Say, sample, score
from diffkit.datasets import ConceptPrompts, ShapesPrompts
from diffkit.evaluation import ConceptAccuracy, PromptAccuracy

CONFIG = "mini_sd_dreambooth_lora"
#: Seed of the ordinary prompts; others than those of the miniature's own table.
ORDINARY_SEED = 77


def _as_it_is(cfg: Any) -> None:
    """The config as it comes."""


def _without_dropout(cfg: Any) -> None:
    """No caption is left empty."""
    cfg.train_dataloader.dataset.update(caption_dropout=0.0, prior_caption_dropout=0.0)


def _without_prior(cfg: Any) -> None:
    """No prior pictures, and no empty captions."""
    _without_dropout(cfg)
    cfg.train_dataloader.dataset.update(class_prompt=None, class_data_root=None, num_class_images=0)


def _unet_only(cfg: Any) -> None:
    """The text encoder stays as it was."""
    for name, tuner in list(cfg.model.tuners.items()):
        if tuner["component"] != "unet":
            cfg.model.tuners.pop(name)


#: What is trained: name -> (description, change of the config).
VARIANTS: dict[str, tuple[str, Callable[[Any], None]]] = {
    "full": ("the whole recipe", _as_it_is),
    "no_caption_dropout": ("without caption dropout", _without_dropout),
    "no_prior": ("without prior pictures and caption dropout", _without_prior),
    "unet_only": ("the whole recipe, UNet only", _unet_only),
}


def measure_dreambooth(
    *,
    variants: Sequence[str] = tuple(VARIANTS),
    seeds: Sequence[int] = (0, 1, 2),
    sampling_seeds: int = 4,
    per_background: int = 2,
    ordinary: int = 128,
    config: str | Path = CONFIG,
    pretrained: str | None = None,
    cfg_options: dict[str, Any] | None = None,
    work_dir: str | Path = "work_dirs/measure_dreambooth",
    out: str | Path = "docs/results/dreambooth",
    image: str | Path = "docs/images/mini_sd_dreambooth.png",
    command: str = "diffkit measure dreambooth",
    say: Say = print,
) -> str:
    """Trains each variant with each seed and measures concept and ordinary prompts before and after.

    It writes ``<out>.json`` after each training, so that a run that was broken off goes on where it was:
    what the file has of the same config and weights is not done again. Then ``<out>.md`` and a picture.

    Args:
        variants: of ``VARIANTS``.
        seeds: of the trainings.
        sampling_seeds: how many seeds each trained model is sampled with.
        per_background: pictures of the concept on each background, for each sampling seed.
        ordinary: ordinary prompts, half of them with patterns.
        config: a DreamBooth config that trains a drawn concept (``data_root="shapes:NAME"``).
        pretrained: replaces that of the config.
        cfg_options: values that replace those of the config, by dotted key.
        work_dir: where the trainings go, ``<work_dir>/<variant>/seed<N>``.
        out: path of the results without suffix.
        image: file of the contact sheet.
        command: what the results say they were made by.
        say: called with lines of progress.

    Returns:
        The table, as Markdown.

    Raises:
        ValueError: a variant is unknown, or the config trains no drawn concept.
    """
    unknown = [name for name in variants if name not in VARIANTS]
    if unknown:
        raise ValueError(f"variants must be among {', '.join(VARIANTS)}, got {', '.join(unknown)}")
    options = {**(cfg_options or {}), **({"model.pretrained": pretrained} if pretrained else {})}
    base = variant_config("full", seeds[0], config, options, work_dir)
    exam = _Exam(base, sampling_seeds, per_background, ordinary, say)
    file = Path(out).with_suffix(".json")
    results = report.read_results(file)
    if results.get("exam") != exam.settings:
        results = {"exam": exam.settings, "runs": {}}
    results["about"] = report.about(command, config=str(config), options=options)
    if "before" not in results:
        say("The model before training")
        results["before"] = exam.take([])
        report.write_results(file, results)
    for variant in variants:
        for seed in seeds:
            cfg = variant_config(variant, seed, config, options, work_dir)
            runs = results["runs"].setdefault(variant, {})
            if runs.get(str(seed), {}).get("recipe") != recipe(cfg):
                say(f"Training: {VARIANTS[variant][0]}, seed {seed}")
                step, spent = train_once(cfg)
                runs[str(seed)] = {"recipe": recipe(cfg), **spent, **exam.take([step])}
                report.write_results(file, results)
    descriptions = {name: description for name, (description, _) in VARIANTS.items()}
    text = dreambooth_table(results, descriptions)
    file.with_suffix(".md").write_text(text, encoding="utf-8")
    if "full" in variants:
        shown = variant_config("full", seeds[0], config, options, work_dir)
        step, _ = train_once(shown)
        contact_sheet(Path(image), exam.concept, shown.train_dataloader.dataset,
                      exam.show([]), exam.show([step]))
    return text


def variant_config(
    variant: str, seed: int, config: str | Path, options: dict[str, Any], work_dir: str | Path
) -> Any:
    """The config of one training, checked."""
    from diffkit.apis.configs import load_config

    where = Path(work_dir) / variant / f"seed{seed}"
    cfg = load_config(config, work_dir=where, cfg_options={**options, "randomness.seed": seed})
    VARIANTS[variant][1](cfg)
    return cfg


def recipe(cfg: Any) -> str:
    """A short name of all that decides what a training leaves: the config and the weights it begins with."""
    from diffkit.engine.config_diff import flat_config

    leaves = {key: text for key, text in flat_config(cfg).items() if not key.startswith(("test_", "val_"))}
    whole = json.dumps([leaves, report.pretrained_digest(cfg.model.pretrained)], sort_keys=True)
    return hashlib.sha256(whole.encode()).hexdigest()[:12]


def train_once(cfg: Any) -> tuple[Path, dict[str, float]]:
    """Trains, unless that was done before with the same recipe.

    Returns:
        The last step folder, and what the training took: ``seconds`` by the clock and ``cpu_seconds`` of the
        processor, prior pictures and samples included.
    """
    from diffkit.apis.train import train

    work_dir = Path(cfg.work_dir)
    step = work_dir / f"step{cfg.train_cfg.max_iters - 1}"
    record = work_dir / "spent.json"
    done = report.read_results(record)
    if step.is_dir() and done.get("recipe") == recipe(cfg):
        return step, done["spent"]
    began, worked = time.perf_counter(), time.process_time()
    train(cfg, work_dir=work_dir)
    spent = {"seconds": time.perf_counter() - began, "cpu_seconds": time.process_time() - worked}
    report.write_results(record, {"recipe": recipe(cfg), "spent": spent})
    return step, spent


class _Exam:
    """What every model is asked to paint."""

    def __init__(self, cfg: Any, sampling_seeds: int, per_background: int, ordinary: int, say: Say) -> None:
        root = str(cfg.train_dataloader.dataset.data_root)
        if not root.startswith("shapes:"):
            raise ValueError(f"config: data_root must be shapes:NAME, a drawn concept, got {root!r}")
        self.concept = root.removeprefix("shapes:")
        self.pretrained = cfg.model.pretrained
        self.say = say
        count = len(ConceptPrompts(self.concept, 1).backgrounds) * per_background
        self.asked = [ConceptPrompts(self.concept, count, seed=seed) for seed in range(sampling_seeds)]
        self.ordinary = ShapesPrompts(ordinary, ORDINARY_SEED, "train", "mixed")
        self.settings = {
            "concept": self.concept,
            "weights": report.pretrained_digest(self.pretrained),
            "sampling_seeds": sampling_seeds,
            "pictures_of_the_concept": count * sampling_seeds,
            "ordinary_prompts": ordinary,
        }

    def take(self, steps: Sequence[Path]) -> dict[str, Any]:
        """Scores of the model with some step folders: concept, for each sampling seed too, and ordinary."""
        pipe = load_pipeline(self.pretrained, steps)
        by_seed = [sample(pipe, prompts, SETTINGS, say=self.say) for prompts in self.asked]
        ordinary = sample(pipe, self.ordinary, SETTINGS, say=self.say)
        every: Samples = [picture for pictures in by_seed for picture in pictures]
        return {
            "concept": score(ConceptAccuracy(self.concept), every),
            "hit_by_sampling_seed": [
                score(ConceptAccuracy(self.concept), pictures)["hit"] for pictures in by_seed],
            "ordinary": score(PromptAccuracy(), ordinary),
            "ordinary_taken_for_concept": score(
                ConceptAccuracy(self.concept), [{"image": each["image"]} for each in ordinary])["hit"],
        }

    def show(self, steps: Sequence[Path]) -> Samples:
        """A picture on each background."""
        prompts = ConceptPrompts(self.concept, len(self.asked[0].backgrounds))
        return sample(load_pipeline(self.pretrained, steps), prompts, SETTINGS)
