"""The tables of the chain's measurement."""

from collections.abc import Callable, Mapping
from math import hypot
from statistics import mean, stdev
from typing import Any

from diffkit.apis.measure import report
from diffkit.apis.measure.distillation_report import Figure, SeedRuns, pooled
from diffkit.evaluation.shares import standard_error

#: The row that all others are compared with.
WHOLE = "teacher_lora"
_HEAD = ("chain", "seeds", "hit", "of the whole model's", "ordinary prompts", "UNet weights", "UNet, MB",
         "CPU seconds, last part", "whole chain, the student given", "with its distillation")
#: What is compared: in words, the row, and that which it is held against.
_COMPARED = (
    ("the student instead of the whole model", "student_lora", WHOLE),
    ("distilled first: integers instead of floats", "student_lora_int8", "student_lora"),
    ("the student as integers instead of the whole model as floats", "student_lora_int8", WHOLE),
    ("personalised before it is distilled, instead of after", "personal_first", "student_lora"),
    ("personalised first: integers instead of floats", "personal_first_int8", "personal_first"),
)


def chain_table(results: Mapping[str, Any], labels: Mapping[str, str]) -> str:
    """The results as Markdown.

    Args:
        results: the content of the JSON file.
        labels: each row in words, in order.
    """
    student = results.get("student", {})
    given = student.get("known_by", {}).get("weights")
    runs = {name: {seed: run for seed, run in results["runs"].get(name, {}).items()
                   if run["student"] in (None, given)} for name in labels}  # others had another student
    rows = [_row(label, name, runs[name], runs.get(WHOLE, {}), student.get("cpu_seconds"))
            for name, label in labels.items() if runs[name]]
    parts = [report.table(_HEAD, rows), _notes(runs, student)]
    differences = [line for each in _COMPARED if (line := _difference(runs, *each))]
    if differences:
        parts += [report.table(("difference", "seeds", "hit", "ordinary prompts"), differences),
                  "Each of the same seeds: the mean of the differences. ± is as in the shares above.\n"]
    return "\n".join(parts) + "\n" + report.footer(results["about"])


def share_of(own: SeedRuns, base: SeedRuns, group: str, name: str) -> Figure | None:
    """A share as a share of another's: the mean of the ratios of the seeds that both have.

    Its error is the larger of that of the seeds' ratios and that of the pictures, as of two independent samples; None
    where no seed has both, or the other is 0.
    """
    return _paired({seed: run for seed, run in own.items() if seed in base and base[seed][group][name]}, base, group,
                   name, lambda one, other: one / other, lambda one, other: (one.over(other) or one).error)


def difference(own: SeedRuns, base: SeedRuns, group: str, name: str) -> Figure | None:
    """How far a share is above another: the mean over the seeds that both have, or None; see :func:`share_of`."""
    return _paired(own, base, group, name, lambda one, other: one - other,
                   lambda one, other: hypot(one.error, other.error))


def _paired(own: SeedRuns, base: SeedRuns, group: str, name: str, each: Callable[[float, float], float],
            error: Callable[[Figure, Figure], float]) -> Figure | None:
    seeds = [seed for seed in own if seed in base]
    if not seeds:
        return None
    values = [each(own[seed][group][name], base[seed][group][name]) for seed in seeds]
    of_pictures = error(*(_pictures([runs[seed] for seed in seeds], group, name) for runs in (own, base)))
    of_seeds = stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0
    return Figure(mean(values), max(of_pictures, of_seeds))


def _pictures(runs: list[Mapping[str, Any]], group: str, name: str) -> Figure:
    """The share of all pictures together, with the error of the pictures alone."""
    value = mean(run[group][name] for run in runs)
    return Figure(value, standard_error(value, sum(run[group][f"{name}_n"] for run in runs)))


def _row(label: str, name: str, runs: SeedRuns, whole: SeedRuns, distillation: float | None) -> tuple[str, ...]:
    every = list(runs.values())
    chain = [run["chain_cpu_seconds"] for run in every]
    more = distillation if every[0]["student"] is not None else 0.0
    share = "1" if name == WHOLE else str(share_of(runs, whole, "concept", "hit") or "-")
    return (label, str(len(every)), str(pooled(every, "concept", "hit")), share, str(pooled(every, "ordinary")),
            f"{every[0]['parameters']:,}", f"{mean(run['bytes'] for run in every) / 1e6:.2f}",
            report.spread([run["cpu_seconds"] for run in every], 0), report.spread(chain, 0),
            "-" if more is None else report.spread([seconds + more for seconds in chain], 0))


def _difference(runs: Mapping[str, SeedRuns], words: str, name: str, other: str) -> tuple[str, ...] | None:
    own, base = runs.get(name, {}), runs.get(other, {})
    hit, right = (difference(own, base, *what) for what in (("concept", "hit"), ("ordinary", "sc")))
    if hit is None or right is None:
        return None
    return words, str(sum(seed in base for seed in own)), f"{hit.value:+.3f} ± {hit.error:.3f}", (
        f"{right.value:+.3f} ± {right.error:.3f}")


def _notes(runs: Mapping[str, SeedRuns], student: Mapping[str, Any]) -> str:
    every = [run for each in runs.values() for run in each.values()]
    exam = every[0]["known_by"]
    seconds = (f"The student was distilled once, for all seeds, in {student['cpu_seconds']:.0f} CPU seconds"
               if "cpu_seconds" in student else "What the student's distillation took is not known")
    kept = [run["kept"] for run in every if "kept" in run]
    integers = (f" In {kept.count('calibrated')} of {len(kept)} trainings of integers the calibrated model was kept, "
                "because training brought it no nearer to the float one." if kept else "")
    return (
        f"*Hit* is the share of pictures asked for `{', '.join(exam['concepts'])}` that show it, of "
        f"{exam['pictures_of_each_concept']} for each seed; ordinary prompts are {exam['ordinary_prompts']}, right in "
        "shape and colours. ± of shares is the standard error: the larger of that of the pictures and that of the "
        "seeds. *Of the whole model's* is the mean of the ratios of the seeds. Quantised models paint with their "
        "integers. MB (10^6 bytes) are of the UNet: integers with their description, or float32 with the adapters "
        f"added in. CPU seconds are of whole commands, prior pictures included. {seconds}; a chain that begins with "
        f"the whole model has none of it, and its own distillation is a part of it.{integers}\n")
