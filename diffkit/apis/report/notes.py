"""What the figures of a report mean, in sentences."""

from collections.abc import Sequence

from diffkit.apis.report.models import Comparison, Model
from diffkit.apis.report.run import Run


def explain(runs: Sequence[Run], models: Sequence[Model], wanted: Comparison | None) -> list[str]:
    """A sentence or two on each kind of figure that the report has."""
    notes = []
    if any(run.results or any(name.endswith("_se") for name in run.curves) for run in runs):
        notes.append("A figure a ± b is a value and its standard error; n is the number of samples. Bands in charts "
                     "are one standard error to each side.")
    if any(run.cost for run in runs):
        notes.append("CPU seconds of a training are those of all its processes, with those that read its data, from "
                     "the built model to the end: samples and validations are in them. A start that was killed counts "
                     "up to its last note, about half a minute before.")
    measured = [model for model in models if model.result]
    if wanted is not None and measured:
        notes += _of_models(measured, wanted)
    return notes


def _of_models(measured: Sequence[Model], wanted: Comparison) -> list[str]:
    first = measured[0].result
    width, height = first["size"]
    latents, tokens = first["structure"]["latents"], first["structure"]["tokens"]
    notes = [
        f"Pictures: {wanted.num_inference_steps} steps of DPM-Solver++, guidance {wanted.guidance_scale}. The noise of "
        "a picture is drawn on the CPU from its seed alone: models with latents of one shape begin with one noise.",
        "MACs are multiplications, each with an addition, of one call of the UNet for one picture, here on "
        f"{latents[0]} x {latents[1]} latents ({width} x {height} pixels) and {tokens} tokens; a step with guidance "
        "makes two calls. The first figure counts convolutions and linear layers, as the tables of BK-SDM do; the "
        "second one the products of attention too. Adapters, text encoders and VAE are not counted.",
        f"Time: one picture alone, from prompt to pixels, after a first call of two steps; {wanted.repeats} times. It "
        "is that of the clock: beside other work on the machine it says little.",
        "Memory: each model had a process of its own. The figure is the largest resident memory of that whole process "
        "(VmHWM on Linux, else ru_maxrss) while the model was loaded and painted one picture at a time. Interpreter "
        "and libraries are in it; what they took before the model was loaded is given below it.",
        "Own files are those that others load: of an adapter without the model that it lies on, and never what only a "
        "resumed training reads.",
        "PSNR and SSIM compare pictures with those of the first model, of the same prompt and seed. They say how near "
        "a compressed model stays, not which one is better.",
    ]
    if len({tuple(model.result["size"]) for model in measured}) > 1:
        notes.append("The models paint pictures of several sizes: their noise differs in shape, and MACs are counted "
                     "at each one's own size.")
    return notes
