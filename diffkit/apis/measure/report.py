"""Results on disk: a JSON file that says how it was made, and a Markdown table of it."""

import hashlib
import json
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from importlib.metadata import version
from math import sqrt
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch

from diffkit.evaluation.shares import standard_error
from diffkit.utils.write_aside import write_aside

_PACKAGES = ("diffkit", "torch", "diffusers", "transformers", "peft")


def about(command: str, **facts: Any) -> dict[str, Any]:
    """How, when and where something was measured; ``facts`` are put between command and machine."""
    return {"command": command, "date": date.today().isoformat(), **facts, "machine": machine()}


def machine() -> dict[str, Any]:
    """The processor, its cores, the threads that torch uses, and versions."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{name: _version(name) for name in _PACKAGES},
    }


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _version(name: str) -> str:
    if name == "diffkit":
        from diffkit.version import __version__

        return __version__
    return version(name)


def weights_digest(folder: str | Path) -> str:
    """The first 12 hex digits of a SHA-256 over all safetensors files of a pipeline folder."""
    digest = hashlib.sha256()
    for path in sorted(Path(folder).glob("*/*.safetensors")):
        digest.update(str(path.relative_to(folder)).encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def pretrained_digest(pretrained: str | Path) -> str:
    """:func:`weights_digest` of what ``pretrained`` stands for; of a hub id, the id itself."""
    from diffkit.utils.pretrained import resolve_pretrained

    source = resolve_pretrained(pretrained)
    return weights_digest(source) if isinstance(source, Path) else source


def read_results(path: str | Path) -> dict[str, Any]:
    """The content of a results file; empty where there is none."""
    path = Path(path)
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def write_results(path: str | Path, results: Mapping[str, Any]) -> Path:
    """Writes a results file; a half written one never has its name. Numbers keep six digits."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_aside(path, (json.dumps(_rounded(results), indent=1, ensure_ascii=False) + "\n").encode())
    return path


def _rounded(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines) + "\n"


def share(metrics: Mapping[str, Any], name: str, digits: int = 3) -> str:
    """A figure with its standard error: ``0.965 ± 0.012``; ``-`` where it was not measured."""
    if name not in metrics:
        return "-"
    error = f" ± {metrics[f'{name}_se']:.{digits}f}" if f"{name}_se" in metrics else ""
    return f"{metrics[name]:.{digits}f}{error}"


def spread(values: Sequence[float], digits: int = 3) -> str:
    """The mean and the standard deviation of a few trainings: ``0.95 ± 0.02``."""
    deviation = f" ± {stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{mean(values):.{digits}f}{deviation}"


def share_error(shares: Sequence[float], n: int) -> float:
    """The standard error of the mean of a few shares: the larger one over ``n`` pictures and over the trainings."""
    seeds = stdev(shares) / sqrt(len(shares)) if len(shares) > 1 else 0.0
    return max(standard_error(mean(shares), n), seeds)


def yes(reached: bool) -> str:
    """Whether a goal is reached, in a word that is seen."""
    return "yes" if reached else "**no**"


def check_names(argument: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Refuses names that are not known, and none at all.

    Raises:
        ValueError: naming the argument, what is allowed, and what is not.
    """
    allowed, names = list(known), list(given)
    unknown = [name for name in names if name not in allowed]
    if unknown or not names:
        raise ValueError(f"{argument} must be among {', '.join(allowed)}, got {', '.join(unknown) or 'nothing'}")


def footer(facts: Mapping[str, Any]) -> str:
    """Command, date and machine as the lines below a table."""
    where = facts["machine"]
    packages = ", ".join(f"{name} {where[name]}" for name in ("torch", "diffusers", "transformers", "peft"))
    return (
        f"Made by `{facts['command']}` on {facts['date']}: {where['processor']}, {where['cores']} cores, "
        f"{where['threads']} threads of torch, Python {where['python']}, {packages}.\n"
    )
