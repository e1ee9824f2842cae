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
    steps: int = 4,
    pretrained: str | None = None,
    cfg_options: dict[str, Any] | None = None,
    work_dir: str | Path = "work_dirs/measure_consistency",
    out: str | Path = "docs/results/consistency",
    command: str = "diffkit measure consistency",
    say: Say = print,
) -> str:
    """Measures prompt accuracy at few steps before and after consistency distillation, and at 25 steps before.

    All models paint the same ``n`` prompts from the same noise. ``<out>.json`` is written after each training, so that
    a run that was broken off goes on where it was: what the file has of the same recipe is not done again.

    Args:
        variants: of ``VARIANTS``.
        seeds: of the trainings.
        n: prompts.
        steps: of the few-step sampler.
        pretrained: replaces that of the configs.
        cfg_options: values that replace those of the configs, by dotted key.
        work_dir: where the trainings go, ``<work_dir>/<variant>/seed<N>``.
        out: path of the results without suffix.
        command: what the results say they were made by.
        say: called with lines of progress.

    Returns:
        The table, as Markdown.

    Raises:
        ValueError: a variant is unknown.
    """
    report.check_names("variants", variants, VARIANTS)
    options = {**(cfg_options or {}), **({"model.pretrained": pretrained} if pretrained else {})}
    file = Path(out).with_suffix(".json")
    base = load_config(VARIANTS[variants[0]][1], work_dir=Path(work_dir), cfg_options=options).model.pretrained
    exam = {"weights": report.pretrained_digest(base), "prompts": n, "seed": PROMPT_SEED, "steps": steps,
            "many_steps": asdict(SETTINGS)}
    results = report.read_results(file)
    if results.get("exam") != exam:
        results = {"exam": exam, "runs": {}}
    results["about"] = report.about(command, options=options)
    if "before" not in results:
        say("The model before training")
        results["before"] = _before(str(base), n, steps, say)
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
                                   **what_it_left(step), "prompts": _exam(pipe, n, steps, 1.0, say)}
                report.write_results(file, results)
    text = consistency_table(results)
    file.with_suffix(".md").write_text(text, encoding="utf-8")
    return text


def _exam(pipe: Any, n: int, steps: int, guidance: float, say: Say) -> dict[str, float]:
    settings = SETTINGS.updated(num_inference_steps=steps, guidance_scale=guidance)
    prompts = ShapesPrompts(n, PROMPT_SEED, "train", "plain")
    return score(PromptAccuracy(), sample(pipe, prompts, settings, say=say))


def _before(base: str, n: int, steps: int, say: Say) -> dict[str, dict[str, float]]:
    """The untaught model, with the sampler and the guidance that suit it, and as its students are sampled."""
    own, few = load_pipeline(base), load_pipeline(base, scheduler="lcm")
    guidance, many = SETTINGS.guidance_scale, SETTINGS.num_inference_steps
    return {"dpm_many": _exam(own, n, many, guidance, say), "dpm_few": _exam(own, n, steps, guidance, say),
            "lcm_guided": _exam(few, n, steps, guidance, say), "lcm": _exam(few, n, steps, 1.0, say)}


def consistency_table(results: Mapping[str, Any]) -> str:
    """The results as Markdown."""
    steps, n = results["exam"]["steps"], results["exam"]["prompts"]
    before, guidance, many = results["before"], SETTINGS.guidance_scale, SETTINGS.num_inference_steps
    labels = {"dpm_many": ("DPM-Solver++", many, guidance), "dpm_few": ("DPM-Solver++", steps, guidance),
              "lcm_guided": ("LCM", steps, guidance), "lcm": ("LCM", steps, 1.0)}
    rows: list[tuple[str, ...]] = []
    for name, (sampler, count, scale) in labels.items():
        runs_of_unet = count * (2 if scale > 1 else 1)
        rows.append(("before", sampler, str(count), f"{scale:g}", str(runs_of_unet), report.share(before[name], "sc"),
                     report.share(before[name], "background"), "-", "-", "-"))
    for name, (label, _) in VARIANTS.items():
        runs = list(results["runs"].get(name, {}).values())
        if runs:
            rows.append((
                label, "LCM", str(steps), "1", str(steps),
                *(report.spread([run["prompts"][key] for run in runs]) for key in ("sc", "background")), str(len(runs)),
                f"{mean(run['trained'] for run in runs):,.0f}", report.spread([run["cpu_seconds"] for run in runs], 0)))
    head = ("model", "sampler", "steps", "guidance", "UNet runs for a picture", "shape and colour right",
            "background right", "seeds", "trained", "CPU seconds")
    notes = (f"Each model paints the same {n} plain prompts from the same noise. Before training: share ± standard "
             "error over the prompts; after it: mean ± standard deviation over the training seeds, each on all "
             "prompts. CPU seconds are of the training.")
    return report.table(head, rows) + f"\n{notes}\n\n" + report.footer(results["about"])
