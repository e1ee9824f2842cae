"""The table of the personalisation methods."""

from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Any

from diffkit.apis.measure import report

_HEAD = ("method", "concept", "seeds", "hit before", "hit", "hit on other backgrounds", "hit and background",
         "ordinary prompts", "of the value before", "trained", "file, kB", "CPU seconds", "peak MB")


def personalisation_table(results: Mapping[str, Any], labels: Mapping[str, str]) -> str:
    """The results as Markdown, one line for each method; ``labels``: their names in words, in order."""
    names = [name for name in labels if results["runs"].get(name)]
    text = report.table(_HEAD, [_row(labels[name], results["before"][name], list(results["runs"][name].values()))
                                for name in names])
    exams = [results["before"][name]["exam"] for name in names]
    bases = sorted({f"{results['before'][name]['ordinary']['sc']:.3f}" for name in names})
    counts = sorted({exam["pictures_of_each_concept"] for exam in exams})
    notes = [
        f"Each trained model paints {_words(counts)} pictures of each of its concepts, with "
        f"{_words(sorted({exam['sampling_seeds'] for exam in exams}))} sampling seeds, and "
        f"{_words(sorted({exam['ordinary_prompts'] for exam in exams}))} ordinary prompts (shape and colours right; "
        f"{_words(bases)} before training). Mean ± standard deviation over the training seeds. A hit has shape, all "
        "colours and texture right. CPU seconds and the peak of resident memory are of the whole command `diffkit "
        "train`, its start, prior pictures and samples included."]
    return f"{text}\n" + "\n".join(notes) + "\n\n" + report.footer(results["about"])


def _row(label: str, before: Mapping[str, Any], runs: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    base = before["ordinary"]["sc"]
    ordinary = [run["ordinary"]["sc"] for run in runs]
    return (
        label, ", ".join(before["exam"]["concepts"]), str(len(runs)), f"{before['concept']['hit']:.3f}",
        *(report.spread([run["concept"][name] for run in runs]) for name in ("hit", "hit_unseen", "composition")),
        report.spread(ordinary), report.spread([value / base for value in ordinary]) if base else "-",
        f"{mean(run['trained'] for run in runs):,.0f}", f"{mean(run['bytes'] for run in runs) / 1000:,.0f}",
        report.spread([run["cpu_seconds"] for run in runs], 0), report.spread([run["peak_mb"] for run in runs], 0))


def _words(values: Sequence[Any]) -> str:
    return " or ".join(map(str, values))
