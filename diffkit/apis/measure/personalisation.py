"""Every way to personalise a miniature, measured alike: concept, forgetting, composition, size and cost."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from diffkit.apis.configs import load_config
from diffkit.apis.measure import report
from diffkit.apis.measure.exam import Exam, exam_subjects
from diffkit.apis.measure.personalisation_pictures import method_sheet
from diffkit.apis.measure.personalisation_report import personalisation_table
from diffkit.apis.measure.pictures import Samples, Say, quiet
from diffkit.apis.measure.training import recipe, train_apart, what_it_left


@dataclass(frozen=True)
class Method:
    """A row of the table.

    Attributes:
        label: the method in words.
        config: the name of a shipped config.
        sheet: the picture that shows it, ``mini_sd_<sheet>.png``.
        options: values that replace those of the config, by dotted key.
    """

    label: str
    config: str
    sheet: str
    options: dict[str, Any] = field(default_factory=dict)


_STRIPED = {"train_dataloader.dataset.data_root": "shapes:striped_heart",
            "test_dataloader.dataset.concept": "striped_heart", "test_evaluator.concept": "striped_heart"}

#: What is trained, by the name that ``--methods`` takes.
METHODS = {
    "dreambooth": Method("DreamBooth, all weights", "mini_sd_dreambooth", "adapters"),
    "lora": Method("DreamBooth, LoRA", "mini_sd_dreambooth_lora", "adapters"),
    "dora": Method("DreamBooth, DoRA", "mini_sd_dreambooth_dora", "adapters"),
    "loha": Method("DreamBooth, LoHa", "mini_sd_dreambooth_loha", "adapters"),
    "lokr": Method("DreamBooth, LoKr", "mini_sd_dreambooth_lokr", "adapters"),
    "oft": Method("DreamBooth, OFT", "mini_sd_dreambooth_oft", "adapters"),
    "ti_4": Method("textual inversion, 4 vectors", "mini_sd_textual_inversion", "textual_inversion"),
    "ti_1": Method("textual inversion, 1 vector", "mini_sd_textual_inversion", "textual_inversion",
                   {"model.tuners.word.num_vectors": 1}),
    "ti_striped": Method("textual inversion, 4 vectors, a pattern", "mini_sd_textual_inversion",
                         "textual_inversion", _STRIPED),
    "pivotal": Method("pivotal tuning: a word and LoRA", "mini_sd_pivotal_tuning", "adapters"),
    "custom": Method("Custom Diffusion", "mini_sd_custom_diffusion", "custom_diffusion"),
    "custom_two": Method("Custom Diffusion, two concepts", "mini_sd_custom_diffusion_two", "custom_diffusion"),
}


def measure_personalisation(
    *,
    methods: Sequence[str] = tuple(METHODS),
    seeds: Sequence[int] = (0, 1, 2),
    sampling_seeds: int = 4,
    per_background: int = 2,
    ordinary: int = 64,
    pretrained: str | None = None,
    cfg_options: dict[str, Any] | None = None,
    work_dir: str | Path = "work_dirs/measure_personalisation",
    out: str | Path = "docs/results/personalisation",
    images: str | Path = "docs/images",
    command: str = "diffkit measure personalisation",
    say: Say = print,
) -> str:
    """Trains each method with each seed, and asks each result for its concept and for ordinary pictures.

    Every training is a process of its own, so that its memory can be told. ``<out>.json`` is written after each, so
    that a run that was broken off goes on where it was: what the file has of the same recipe is not done again.

    Args:
        methods: of ``METHODS``.
        seeds: of the trainings.
        sampling_seeds: how many seeds each trained model is sampled with.
        per_background: pictures of a concept on each background, for each sampling seed.
        ordinary: ordinary prompts, half of them with patterns.
        pretrained: replaces that of the configs.
        cfg_options: values that replace those of every config, by dotted key.
        work_dir: where the trainings go, ``<work_dir>/<method>/seed<N>``.
        out: path of the results without suffix.
        images: folder of the pictures, of what the first of the seeds has left.
        command: what the results say they were made by.
        say: called with lines of progress.

    Returns:
        The table, as Markdown.

    Raises:
        ValueError: a method is unknown.
        RuntimeError: a training has failed.
    """
    report.check_names("methods", methods, METHODS)
    given = {**(cfg_options or {}), **({"model.pretrained": pretrained} if pretrained else {})}
    file = Path(out).with_suffix(".json")
    results = report.read_results(file) or {"before": {}, "runs": {}}
    results["about"] = report.about(command, options=given)
    for name in methods:
        for seed in seeds:
            options = {**given, **METHODS[name].options, "randomness.seed": seed}
            cfg = load_config(METHODS[name].config, work_dir=Path(work_dir) / name / f"seed{seed}", cfg_options=options)
            subjects = exam_subjects(cfg.test_dataloader.dataset)
            exam = Exam(cfg.model.pretrained, subjects, sampling_seeds, per_background, ordinary, say)
            if results["before"].get(name, {}).get("exam") != exam.settings:
                say(f"{METHODS[name].label}: the model before training")
                results["before"][name] = {"exam": exam.settings, **_before(results["before"], exam)}
                results["runs"].pop(name, None)
            runs = results["runs"].setdefault(name, {})
            if runs.get(str(seed), {}).get("recipe") != recipe(cfg):
                say(f"{METHODS[name].label}: training, seed {seed}")
                step, spent = train_apart(cfg, METHODS[name].config, options)
                runs[str(seed)] = {"recipe": recipe(cfg), **spent, **what_it_left(step), **exam.take([step])}
            report.write_results(file, results)
    text = personalisation_table(results, {name: method.label for name, method in METHODS.items()})
    file.with_suffix(".md").write_text(text, encoding="utf-8")
    for sheet in dict.fromkeys(METHODS[name].sheet for name in methods):
        painted = {METHODS[name].label: _show(cfg, step) for name, cfg, step in _trained(
            sheet, given, seeds[0], Path(work_dir))}
        if painted:
            method_sheet(Path(images) / f"mini_sd_{sheet}.png", painted)
    return text


def _trained(sheet: str, given: dict[str, Any], seed: int, work_dir: Path) -> Iterator[tuple[str, Any, Path]]:
    """The methods of a sheet that were trained in this folder, each with its config and its last step folder."""
    for name, method in METHODS.items():
        where = work_dir / name / f"seed{seed}"
        if method.sheet == sheet and where.is_dir():
            cfg = load_config(method.config, work_dir=where, cfg_options={
                **given, **method.options, "randomness.seed": seed})
            step = where / f"step{cfg.train_cfg.max_iters - 1}"
            if step.is_dir():
                yield name, cfg, step


def _show(cfg: Any, step: Path) -> Samples:
    """A picture of each concept on each background."""
    return Exam(cfg.model.pretrained, exam_subjects(cfg.test_dataloader.dataset), 1, 1, 1, quiet).show([step])


def _before(known: dict[str, Any], exam: Exam) -> dict[str, Any]:
    """The scores without training; those of another method, where it was asked for the same."""
    for other in known.values():
        if other["exam"] == exam.settings:
            return {name: value for name, value in other.items() if name != "exam"}
    return exam.take([])
