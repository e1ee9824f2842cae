"""Pictures side by side: those of several models from one noise, and those of a training over time."""

from collections.abc import Sequence

from diffkit.apis.report.markup import Content, Html, tag
from diffkit.apis.report.models import Comparison, Model
from diffkit.apis.report.pictures import embed, picture
from diffkit.apis.report.run import Run, Sample

STEPS = 9  # moments of a training that are shown at most


def model_gallery(models: Sequence[Model], wanted: Comparison, side: int) -> list[Html]:
    """A row for each prompt and seed, with a picture of each model."""
    rows = []
    places = [(prompt, seed) for prompt in wanted.prompts for seed in wanted.seeds]
    for number, (prompt, seed) in enumerate(places):
        shown = [_figure(_painted(model, number, prompt, side), model.label) for model in models]
        title = tag("h3", prompt, " ", tag("span", f"seed {seed}", class_="soft"))
        rows += [title, tag("div", shown, class_="strip")]
    return rows


def _painted(model: Model, number: int, prompt: str, side: int) -> Html:
    if number >= len(model.pictures):
        return tag("div", model.fault or "no picture", class_="missing")
    return embed(model.pictures[number], f"{model.label}: {prompt}", side)


def sample_gallery(run: Run, side: int) -> Content:
    """A row for each prompt of a training, with the pictures of some moments, the first and the last among them."""
    if not run.samples:
        return None
    steps = sorted({sample.step for sample in run.samples})
    chosen = spread_out(steps, STEPS)
    parts: list[Content] = [tag("h3", run.name, " ", tag("span", _said(steps, chosen, run.samples), class_="soft"))]
    for place in sorted({sample.place for sample in run.samples}):
        row = [sample for sample in run.samples if sample.place == place and sample.step in chosen]
        if not row:
            continue
        seeds = {str(sample.about["seed"]) for sample in row if "seed" in sample.about}
        words = f"{row[-1].prompt} " + (f"(seed {', '.join(sorted(seeds))})" if seeds else "")
        figures = [_figure(picture(sample.path, f"{sample.prompt}, {_when(sample.step)}", side, run.folder),
                           _when(sample.step)) for sample in row]
        parts += [tag("p", words), tag("div", figures, class_="strip")]
    return parts


def spread_out(steps: Sequence[int], most: int) -> list[int]:
    """At most so many of them, the first and the last among them, the others as even as they lie."""
    if len(steps) <= most:
        return list(steps)
    return [steps[round(i * (len(steps) - 1) / (most - 1))] for i in range(most)]


def _said(steps: Sequence[int], chosen: Sequence[int], samples: Sequence[Sample]) -> str:
    about = samples[-1].about
    words = [f"{len(chosen)} of {len(steps)} moments"] if len(chosen) < len(steps) else []
    words += [f"{name} {about[key]}" for key, name in (("num_inference_steps", "steps"), ("guidance_scale", "guidance"))
              if about.get(key) is not None]
    return ", ".join(words)


def _when(step: int) -> str:
    return "before training" if step == 0 else f"after {step:,}"


def _figure(image: Html, caption: str) -> Html:
    return tag("figure", image, tag("figcaption", caption))
