"""DreamBooth on a miniature, with and without what protects the model: several trainings, measured alike."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from diffkit.apis.measure import report
from diffkit.apis.measure.dreambooth_report import contact_sheet, dreambooth_table
from diffkit.apis.measure.exam import Exam
from diffkit.apis.measure.pictures import Say
from diffkit.apis.measure.training import recipe, train_once

CONFIG = "mini_sd_dreambooth_lora"


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
    ordinary: int = 256,
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
    report.check_names("variants", variants, VARIANTS)
    options = {**(cfg_options or {}), **({"model.pretrained": pretrained} if pretrained else {})}
    base = variant_config("full", seeds[0], config, options, work_dir)
    concept = _concept(base)
    exam = Exam(base.model.pretrained, {concept: None}, sampling_seeds, per_background, ordinary, say)
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
        contact_sheet(Path(image), concept, shown.train_dataloader.dataset,
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


def _concept(cfg: Any) -> str:
    root = str(cfg.train_dataloader.dataset.data_root)
    if not root.startswith("shapes:"):
        raise ValueError(f"config: data_root must be shapes:NAME, a drawn concept, got {root!r}")
    return root.removeprefix("shapes:")
