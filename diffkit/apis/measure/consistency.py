"""Pictures in few steps: a miniature before and after consistency distillation, measured alike."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import mean
from typing import Any

from diffkit.apis.configs import load_config
from diffkit.apis.load_pipeline import load_pipeline
from diffkit.apis.measure import report
from diffkit.apis.measure.pictures import SETTINGS, Say, sample, score
from diffkit.apis.measure.training import recipe, train_once, what_it_left
from diffkit.datasets import ShapesPrompts
from diffkit.evaluation import PromptAccuracy

#: What is trained: name -> (description, config).
VARIANTS = {"full": ("consistency distillation, all weights", "mini_sd_lcm"),
            "lora": ("consistency distillation, LoRA", "mini_sd_lcm_lora")}
#: Seed of the prompts; others than those of the miniature's own table.
PROMPT_SEED = 91


def measure_consistency(
    *,
    variants: Sequence[str] = tuple(VARIANTS),
    seeds: Sequence[int] = (0, 1, 2),
    n: int = 128,
    steps: Sequence[int] = (1, 2, 4),
    pretrained: str | None = None,
    cfg_options: dict[str, Any] | None = None,
    work_dir: str | Path = "work_dirs/measure_consistency",
    out: str | Path = "docs/results/consistency",
    command: str = "diffkit measure consistency",
    say: Say = print,
) -> str:
    """Measures prompt accuracy at few steps before and after consistency distillation, and at 25 steps before.

    All models paint the same ``n`` prompts from the same noise, half of them with patterns. ``<out>.json`` is written
    after each training, so that a run that was broken off goes on where it was: what the file has of the same recipe is
    not done again.

    Args:
        variants: of ``VARIANTS``.
        seeds: of the trainings.
        n: prompts.
        steps: numbers of steps that are tried, each 1 or more.
        pretrained: replaces that of the configs.
        cfg_options: values that replace those of the configs, by dotted key.
        work_dir: where the trainings go, ``<work_dir>/<variant>/seed<N>``.
        out: path of the results without suffix.
        command: what the results say they were made by.
        say: called with lines of progress.

    Returns:
        The table, as Markdown.

    Raises:
        ValueError: a variant is unknown, or a number of steps is none.
    """
    report.check_names("variants", variants, VARIANTS)
    if not steps or min(steps) < 1:
        raise ValueError(f"steps must be numbers of 1 or more, got {list(steps)}")
    options = {**(cfg_options or {}), **({"model.pretrained": pretrained} if pretrained else {})}
    file = Path(out).with_suffix(".json")
    base = load_config(VARIANTS[variants[0]][1], work_dir=Path(work_dir), cfg_options=options).model.pretrained
    exam: dict[str, Any] = {
        "weights": report.pretrained_digest(base), "prompts": n, "seed": PROMPT_SEED, "steps": sorted(set(steps)),
        "many_steps": asdict(SETTINGS)}
    results = report.read_results(file)
    if results.get("exam") != exam:
        results = {"exam": exam, "runs": {}}
    results["about"] = report.about(command, options=options)
    if "before" not in results:
        say("The model before training")
        own, few = load_pipeline(base), load_pipeline(base, scheduler="lcm")
        results["before"] = {
            "dpm": _exams(own, n, [*exam["steps"], SETTINGS.num_inference_steps], SETTINGS.guidance_scale, say),
            "lcm": _exams(few, n, exam["steps"], 1.0, say)}
        report.write_results(file, results)
    for name in variants:
        for seed in seeds:
            given = {**options, "randomness.seed": seed}
            cfg = load_config(VARIANTS[name][1], work_dir=Path(work_dir) / name / f"seed{seed}", cfg_options=given)
            runs = results["runs"].setdefault(name, {})
            if runs.get(str(seed), {}).get("recipe") != recipe(cfg):
                say(f"{VARIANTS[name][0]}: training, seed {seed}")
                step, spent = train_once(cfg)
                pipe = load_pipeline(base, [step], scheduler="lcm") if name == "lora" else load_pipeline(
                    step, scheduler="lcm")
                runs[str(seed)] = {"recipe": recipe(cfg), "iterations": cfg.train_cfg.max_iters, **spent,
                                   **what_it_left(step), "prompts": _exams(pipe, n, exam["steps"], 1.0, say)}
                report.write_results(file, results)
    text = consistency_table(results)
    file.with_suffix(".md").write_text(text, encoding="utf-8")
    return text


def _exams(pipe: Any, n: int, steps: Sequence[int], guidance: float, say: Say) -> dict[str, dict[str, float]]:
    """What a pipeline's pictures get, by the number of steps."""
    prompts = ShapesPrompts(n, PROMPT_SEED, "train", "mixed")
    return {str(count): score(PromptAccuracy(), sample(
        pipe, prompts, SETTINGS.updated(num_inference_steps=count, guidance_scale=guidance), say=say))
        for count in steps}


def consistency_table(results: Mapping[str, Any]) -> str:
    """The results as Markdown."""
    exam, before = results["exam"], results["before"]
    counts = [*map(str, exam["steps"]), str(SETTINGS.num_inference_steps)]
    rows: list[tuple[str, ...]] = []
    for name, sampler, guidance in (("dpm", "DPM-Solver++", SETTINGS.guidance_scale), ("lcm", "LCM", 1.0)):
        shares = [report.share(before[name][count], "sc") if count in before[name] else "-" for count in counts]
        rows.append(("before", sampler, f"{guidance:g}", *shares, "-", "-", "-"))
    for name, (label, _) in VARIANTS.items():
        runs = list(results["runs"].get(name, {}).values())
        if runs:
            shares = [report.spread([run["prompts"][count]["sc"] for run in runs])
                      if count in runs[0]["prompts"] else "-" for count in counts]
            rows.append((label, "LCM", "1", *shares, str(len(runs)), f"{mean(run['trained'] for run in runs):,.0f}",
                         report.spread([run["cpu_seconds"] for run in runs], 0)))
    head = ("model", "sampler", "guidance", *(f"{count} step{'s' if count != '1' else ''}" for count in counts),
            "seeds", "trained", "CPU seconds")
    notes = (f"Share of pictures whose shape and colours are right: each model paints the same {exam['prompts']} "
             "prompts, half of them with patterns, from the same noise. Before training: ± standard error over the "
             "prompts; after it: mean ± standard deviation over the training seeds, each on all prompts. Guidance "
             "doubles the runs of the UNet. CPU seconds are of the training.")
    return report.table(head, rows) + f"\n{notes}\n\n" + report.footer(results["about"])
