"""The tables of the distillation measurement."""

from collections.abc import Callable, Mapping, Sequence
from itertools import product
from math import hypot
from statistics import mean, stdev
from typing import Any, NamedTuple

from diffkit.apis.measure import report

#: What a student shall reach of its teacher's share of right pictures, and of its hits after DreamBooth.
GOALS, DREAMBOOTH_GOAL = {"small": 0.97, "tiny": 0.93}, 0.9
_HEAD = ("model", "trained by", "seeds", "iterations", "CPU seconds", "peak MB", "sc", "of the teacher's",
         "held-out sc", "of the teacher's", "PSNR to the teacher, dB")
_COSTS = ("UNet", "weights", "MACs, convolutions and linear layers", "MACs with attention", "seconds",
          "of the teacher's", "least to most")
_DREAMBOOTH = ("model", "seeds", "hit", "of the teacher's", "ordinary prompts", "CPU seconds", "of the teacher's",
               "peak MB")
#: Arms that a teacher helps, and arms that it does not.
_TAUGHT = {"output": "output", "feature": "output and features"}
_ALONE = {"task": "at equal steps", "task_time": "in equal CPU time"}
Runs = Sequence[Mapping[str, Any]]
SeedRuns = Mapping[str, Mapping[str, Any]]


class Figure(NamedTuple):
    """A value and its standard error."""

    value: float
    error: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ± {self.error:.3f}"

    def over(self, other: "Figure") -> "Figure | None":
        """The ratio, as of two independent figures; None over 0."""
        if not other.value:
            return None
        ratio = self.value / other.value
        return Figure(ratio, hypot(self.error, ratio * other.error) / other.value)


def pooled(runs: Runs, group: str, name: str = "sc") -> Figure:
    """The mean share of several trainings; its error is the larger of that of their pictures and that of the seeds."""
    shares = [run[group][name] for run in runs]
    return Figure(mean(shares), report.share_error(shares, sum(run[group][f"{name}_n"] for run in runs)))


def lead(taught: SeedRuns, alone: SeedRuns, figure: Callable[[Mapping[str, Any]], float]) -> Figure | None:
    """How far one arm is ahead of another: the mean over the seeds that both have, which share prompts and noise.

    Its error is the standard error of the differences, which have the chance of training and of prompts in them; None
    with fewer than two seeds.
    """
    each = [figure(taught[seed]) - figure(alone[seed]) for seed in taught if seed in alone]
    return Figure(mean(each), stdev(each) / len(each) ** 0.5) if len(each) > 1 else None


def distillation_table(results: Mapping[str, Any], students: Sequence[str] | Mapping[str, Any],
                       labels: Mapping[str, str]) -> str:
    """The results as Markdown.

    Args:
        results: the content of the JSON file.
        students: names of the students, in order.
        labels: what each arm is in words, in order.
    """
    teacher = results["teacher"]
    everyone = list(teacher.values())
    rows = [("teacher", "-", str(len(teacher)), *["-"] * 3, str(pooled(everyone, "ordinary")), "1",
             str(pooled(everyone, "heldout")), "1", "-")]
    for student in students:
        for arm, label in labels.items():
            runs = results["runs"].get(f"{student}_{arm}", {})
            if runs:
                rows.append(_row(student, label, list(runs.values()), [teacher[seed] for seed in runs]))
    parts = [report.table(_HEAD, rows), *_goal_lines(results, students), _notes(everyone)]
    if "costs" in results:
        parts += [_costs(results["costs"])]
    if results.get("dreambooth"):
        parts += [_dreambooth(results["dreambooth"], students)]
    return "\n".join(parts) + "\n" + report.footer(results["about"])


def _row(student: str, label: str, runs: Runs, teacher: Runs) -> tuple[str, ...]:
    def both(group: str) -> tuple[str, str]:
        own = pooled(runs, group)
        return str(own), str(own.over(pooled(teacher, group)) or "-")

    trained = "cpu_seconds" in runs[0]
    return (student, label, str(len(runs)), report.spread([run["iterations"] for run in runs], 0) if trained else "0",
            report.spread([run["cpu_seconds"] for run in runs], 0) if trained else "0",
            report.spread([run["peak_mb"] for run in runs], 0) if trained else "-", *both("ordinary"), *both("heldout"),
            report.spread([run["psnr"] for run in runs], 1))


def _goal_lines(results: Mapping[str, Any], students: Sequence[str] | Mapping[str, Any]) -> list[str]:
    """A table of what was asked for, as far as it was measured."""
    rows: list[tuple[str, ...]] = []
    for student in students:
        runs = {arm: results["runs"].get(f"{student}_{arm}", {}) for arm in ("task", "task_time", *_TAUGHT, "whole")}
        teacher = [results["teacher"][seed] for seed in runs["whole"]]
        if teacher and (ratio := pooled(list(runs["whole"].values()), "ordinary").over(pooled(teacher, "ordinary"))):
            rows.append((f"{student}: sc of the teacher's, trained to the end", str(ratio),
                         f"≥ {GOALS.get(student, 0):g}", report.yes(ratio.value >= GOALS.get(student, 0))))
        for (taught, by), (alone, words) in product(_TAUGHT.items(), _ALONE.items()):
            rows += _ahead(f"{student}: {by}, ahead of the task alone {words}", runs[taught], runs[alone])
    dreambooth = results.get("dreambooth", {})
    for student in students:
        if student in dreambooth and "teacher" in dreambooth:
            hits = [pooled(list(dreambooth[who].values()), "concept", "hit") for who in (student, "teacher")]
            if ratio := hits[0].over(hits[1]):
                rows.append((f"{student}: hits after DreamBooth, of the teacher's", str(ratio),
                             f"≥ {DREAMBOOTH_GOAL:g}", report.yes(ratio.value >= DREAMBOOTH_GOAL)))
    return [report.table(("goal", "value", "asked", "reached"), rows)] if rows else []


def _ahead(words: str, taught: SeedRuns, alone: SeedRuns) -> list[tuple[str, ...]]:
    """Lines of how far one arm is ahead of another, in right pictures and in nearness to the teacher."""
    rows: list[tuple[str, ...]] = []
    for unit, figure in (("sc", lambda run: run["ordinary"]["sc"]), ("PSNR, dB", lambda run: run["psnr"])):
        if ahead := lead(taught, alone, figure):
            rows.append((f"{words}: {unit}", str(ahead), "> 2 errors", report.yes(ahead.value > 2 * ahead.error)))
    return rows


def _notes(teacher: Runs) -> str:
    n, heldout = (_words(run[group]["sc_n"] for run in teacher) for group in ("ordinary", "heldout"))
    return (
        f"*sc* is the share of pictures whose shape and colours are right. For each seed {n} ordinary prompts, half of "
        f"them with patterns, and {heldout} with pairs of shape and colour that no training shows; other prompts for "
        "each seed. The teacher paints them too, and a line is compared with it on the prompts of its own seeds. ± of "
        "shares is the standard error: the larger of that of the pictures and that of the seeds. *Ahead* is the mean "
        "of the differences of the seeds, in which both arms have the same prompts and noise, with their standard "
        "error. ± of "
        "iterations, seconds, memory and PSNR is the standard deviation of the seeds. CPU seconds and the peak of "
        "resident memory are of the whole command `diffkit train`, its start and samples included. PSNR is of the "
        "ordinary pictures, from the same noise.\n")


def _words(values: Any) -> str:
    return " or ".join(map(str, sorted(set(values))))


def _costs(costs: Mapping[str, Any]) -> str:
    rows = [(name, f"{of['parameters']:,}", f"{of['macs'] / 1e6:,.1f} M", f"{of['macs_with_attention'] / 1e6:,.1f} M",
             f"{of['seconds']:.2f}", f"{of['ratio']:.3f}", f"{of['ratio_least']:.3f} to {of['ratio_most']:.3f}")
            for name, of in costs.items() if isinstance(of, Mapping) and "parameters" in of]
    some = next(of for of in costs.values() if isinstance(of, Mapping) and "turns" in of)
    return (report.table(_COSTS, rows) + f"\nSeconds of the processor for {some['pictures']} pictures at once, text "
            f"encoder and VAE included, on one thread: the median of {some['turns']} turns, in which the models follow "
            "each other in one process.\n")


def _dreambooth(found: Mapping[str, Mapping[str, Any]], students: Sequence[str] | Mapping[str, Any]) -> str:
    teacher = list(found.get("teacher", {}).values())
    rows = []
    for name in ("teacher", *students):
        runs = list(found.get(name, {}).values())
        if runs:
            hit = pooled(runs, "concept", "hit")
            seconds = [run["cpu_seconds"] for run in runs]
            base = mean(run["cpu_seconds"] for run in teacher) if teacher else 0
            rows.append((name, str(len(runs)), str(hit),
                         str(hit.over(pooled(teacher, "concept", "hit")) or "-") if teacher else "-",
                         str(pooled(runs, "ordinary")), report.spread(seconds, 0),
                         f"{mean(seconds) / base:.3f}" if base else "-",
                         report.spread([run["peak_mb"] for run in runs], 0)))
    exam = next(iter(next(iter(found.values())).values()))["known_by"]
    return (report.table(_DREAMBOOTH, rows) + f"\nDreamBooth with LoRA of `{', '.join(exam['concepts'])}` on the "
            f"teacher and on the students trained to the end with the first seed: {exam['pictures_of_each_concept']} "
            f"pictures of the concept and {exam['ordinary_prompts']} ordinary prompts for each seed. CPU seconds are "
            "of the whole command, prior pictures included.\n")
