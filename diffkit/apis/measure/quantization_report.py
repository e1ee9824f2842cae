"""The table of the quantised miniatures."""

from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Any

from diffkit.apis.measure import report

_HEAD = ("format", "method", "seeds", "prediction error", "of the damage recovered", "PSNR, dB", "sc",
         "FP32 / file", "CPU seconds")
_WORD_HEAD = ("format", "method", "seeds", "hit, float", "hit, quantised", "difference")


def quantization_table(results: Mapping[str, Any], arms: Mapping[str, Any]) -> str:
    """The results as Markdown: a line for each arm, and below it the models that learned a word first."""
    runs = {name: list(results["runs"][name].values()) for name in arms if results["runs"].get(name)}
    floats = list(results["float"].values())
    base = floats[0]
    rows: list[tuple[str, ...]] = [
        ("FP32", "-", "-", "0", "-", "-", _share([each["prompts"] for each in floats]), "1.00", "-")]
    rows += [_row(name, arms[name], runs, base) for name in runs if not arms[name].after]
    text = report.table(_HEAD, rows) + "\n" + _notes(results["exam"], base)
    words = [name for name in runs if arms[name].after]
    if words:
        text += "\n" + report.table(_WORD_HEAD, [_word_row(arms[name], runs[name]) for name in words])
        hits = sorted({run["word"]["float"]["hit_n"] for name in words for run in runs[name]})
        text += (f"\nA word is learned in floats, and its model is quantised; each paints {' or '.join(map(str, hits))}"
                 " pictures of the concept. Mean ± standard deviation over the seeds.\n")
    return f"{text}\n" + report.footer(results["about"])


def _row(name: str, arm: Any, runs: Mapping[str, Sequence[Mapping[str, Any]]], base: Mapping[str, Any]
         ) -> tuple[str, ...]:
    found = runs[name]
    errors = [run["closeness"]["error"] for run in found]
    return (
        arm.bits, arm.label, str(len(found)), report.spread(errors, 5),
        _recovered(arm, errors, runs), report.spread([run["closeness"]["psnr"] for run in found], 1),
        _share([run["prompts"] for run in found]),
        f"{base['bytes'] / mean(run['bytes'] for run in found):.2f}",
        report.spread([run["cpu_seconds"] for run in found], 0))


def _share(prompts: Sequence[Mapping[str, Any]]) -> str:
    """The mean share of the seeds, each with prompts of its own."""
    shares, count = [each["sc"] for each in prompts], sum(each["sc_n"] for each in prompts)
    return f"{mean(shares):.3f} ± {report.share_error(shares, count):.3f} (n = {count})"


def _recovered(arm: Any, errors: Sequence[float], runs: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """The share of the calibrated model's error that training took away."""
    before = runs.get(arm.calibrated)
    if not before:
        return "-"
    return f"{1 - mean(errors) / mean(run['closeness']['error'] for run in before):.0%}"


def _word_row(arm: Any, runs: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    pairs = [(run["word"]["float"]["hit"], run["word"]["quantized"]["hit"]) for run in runs]
    return (arm.bits, arm.label, str(len(runs)), report.spread([a for a, _ in pairs]),
            report.spread([b for _, b in pairs]), report.spread([b - a for a, b in pairs]))


def _notes(exam: Mapping[str, Any], base: Mapping[str, Any]) -> str:
    return (
        f"The prediction error is the squared distance of {exam['predictions']} predictions to those of the float "
        "model, as a share of the float predictions' square; PSNR is that of "
        f"{exam['pictures']} pictures to the float model's from the same noise ({exam['num_inference_steps']} steps of "
        f"{exam['sampler']}, guidance {exam['guidance_scale']:g}): means over the items, then mean ± standard "
        f"deviation over the seeds. sc: shape and colour right, {exam['prompts']} prompts for each seed and others for "
        "each; ± is the larger of the standard errors over prompts and over seeds. FP32 / file: the bytes of the "
        f"{base['weights']:,} weights in FP32 by those of the files of `unet_int8`, scales and description included. "
        "CPU seconds are of the training, calibration included. The trained model is measured even where "
        "`QuantizationHook` would keep the calibrated one.\n")
