"""What the page can paint with: base models and step folders below the roots, and the choice that a form makes."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffkit.app.fields import FieldError, Fields
from diffkit.app.roots import Roots
from diffkit.utils.pretrained import PACKAGED, resolve_pretrained
from diffkit.utils.step_folder import StepFolder, read_step_folder

#: How deep folders are looked into below a root, and how many models are listed.
DEPTH, MOST = 4, 500
#: How many step folders one model may have on it.
MOST_STEPS = 8
#: Lets the first step folder say which model it was trained on.
BY_STEPS = "auto"


@dataclass(frozen=True)
class Choice:
    """A model as a form names it.

    Attributes:
        pretrained: a packaged name, a folder, or a name that the app was started with; None is what the first of
            ``steps`` was trained on.
        steps: step folders on it.
        weights: a number for each.
    """

    pretrained: str | None
    steps: tuple[str, ...] = ()
    weights: tuple[float, ...] = ()

    @property
    def title(self) -> str:
        """A few words for captions."""
        names = [f"{Path(step).parent.name}/{Path(step).name}" + (f" × {weight:g}" if weight != 1 else "")
                 for step, weight in zip(self.steps, self.weights, strict=True)]
        base = [] if self.pretrained is None else [Path(self.pretrained).name]
        return " + ".join([*base, *names])


class Models:
    """The models that the page may name.

    Args:
        roots: folders that they lie in.
        named: names of models that whoever started the app allowed besides: of the hub, or folders anywhere.
    """

    def __init__(self, roots: Roots, named: Sequence[str] = ()) -> None:
        self.roots, self.named = roots, list(named)

    def listed(self) -> dict[str, list[dict[str, str]]]:
        """Whole pipelines as ``bases`` and all step folders as ``steps``, each with ``name`` and ``label``."""
        bases = [{"name": name, "label": f"{name} (packaged)"} for name in PACKAGED]
        bases += [{"name": name, "label": name} for name in self.named]
        steps: list[dict[str, str]] = []
        for found in sorted(self._found(), key=_order):
            kind = "bases" if found.is_pipeline else "steps"
            line = {"name": str(found.path), "label": f"{self.roots.short(found.path)} ({_kind(found)})"}
            (bases if kind == "bases" else steps).append(line)
        return {"bases": bases, "steps": steps}

    def choice(self, values: Any, within: str = "Model") -> Choice:
        """Reads ``{"base": …, "steps": [{"path": …, "weight": …}]}``.

        Raises:
            FieldError: a name is not allowed, or there is nothing to load under it.
        """
        fields = Fields(values, within)
        steps: list[str] = []
        weights: list[float] = []
        for number, item in enumerate(fields.items("steps", MOST_STEPS), 1):
            row = Fields(item, f"{within}, step folder {number}")
            folder = self.roots.folder(row.label("path"), row.text("path"))
            if read_step_folder(folder) is None:
                raise FieldError(row.label("path"), f"{folder} is no step folder: it holds nothing that can be loaded"
                                 f"{_steps_in(folder)}")
            steps.append(str(folder))
            weights.append(row.number("weight", -4, 4, 1.0))
        base = fields.text("base", BY_STEPS)
        if base == BY_STEPS and not steps:
            raise FieldError(fields.label("base"), "is empty; choose a model, or a step folder that says its own")
        choice = Choice(None if base == BY_STEPS else self._base(fields.label("base"), base),
                        tuple(steps), tuple(weights))
        for name in (*([] if choice.pretrained is None else [choice.pretrained]), *steps):
            self._check_bases(fields.label("base"), name)
        return choice

    def _base(self, field: str, name: str) -> str:
        if name in PACKAGED or name in self.named:
            return name
        if name.count("/") == 1 and name[0] not in "./" and not self._begins_with_a_folder(name):
            raise FieldError(field, f"{name!r} is a name of the hub, which this app may not load; allowed: "
                             f"{', '.join([*PACKAGED, *self.named])}. Start it with --model {name} to allow it")
        folder = self.roots.folder(field, name)
        if read_step_folder(folder) is None:
            raise FieldError(field, f"{folder} is no model: it has no model_index.json{_steps_in(folder)}")
        return str(folder)

    def _begins_with_a_folder(self, name: str) -> bool:
        """Whether a name is a path below a root with a typing error at most, and not a name of the hub."""
        places = [root / name for root in (Path.cwd(), *self.roots.folders)]
        return any(place.exists() or (self.roots.holds(place.parent) and place.parent.is_dir()) for place in places)

    def _check_bases(self, field: str, name: str) -> None:
        """Refuses a step folder that would load a model from elsewhere; it may have been made by somebody else."""
        seen: set[str] = set()
        while name not in PACKAGED and name not in self.named and name not in seen:
            seen.add(name)
            found = read_step_folder(name)
            if found is None or found.is_pipeline or found.base is None:
                return
            if Path(found.base).is_dir():
                self.roots.folder(f"{field} ({found.path} was trained on {found.base!r})", found.base)
            elif found.base not in PACKAGED and found.base not in self.named:
                raise FieldError(field, f"{found.path} was trained on {found.base!r}, which this app may not load. "
                                 f"Start it with --model {found.base} to allow it")
            name = found.base

    def _found(self) -> Iterator[StepFolder]:
        seen: set[Path] = set()
        for root in self.roots.folders:
            for folder in _folders(root):
                if folder in seen or len(seen) >= MOST:
                    continue
                try:
                    found = read_step_folder(folder)
                except ValueError:  # damaged, and so nothing to choose
                    continue
                if found is not None:
                    seen.add(folder)
                    yield found


def fingerprint(choice: Choice) -> tuple[Any, ...]:
    """Changes when a file of the model does: path, size and time of each. A training may write a folder anew."""
    marks: list[tuple[str, int, int]] = []
    for name in (choice.pretrained, *choice.steps):
        place = None if name is None or (name not in PACKAGED and not Path(name).is_dir()) else resolve_pretrained(name)
        if isinstance(place, Path):
            for file in sorted(place.rglob("*.safetensors")) + sorted(place.rglob("*.json")):
                about = file.stat()
                marks.append((str(file), about.st_size, about.st_mtime_ns))
    return (choice, tuple(marks))


def _folders(root: Path) -> Iterator[Path]:
    """All folders to some depth; inside of a model none, links none."""
    for place, names, files in os.walk(root):
        here = Path(place)
        deep = len(here.relative_to(root).parts)
        yield here
        model = "manifest.json" in files or "model_index.json" in files or here.name.startswith("step")
        names[:] = [] if deep >= DEPTH or model else [
            name for name in names if not name.startswith(".") and name not in ("samples", "vis_data", "_base_")]


def _order(found: StepFolder) -> tuple[str, int]:
    digits = found.path.name.removeprefix("step")
    return str(found.path.parent), -int(digits) if digits.isdigit() else 0


def _kind(found: StepFolder) -> str:
    kinds = [word for word, there in (
        ("pipeline", found.is_pipeline), ("adapter", bool(found.adapters or found.lora_file)),
        ("word", bool(found.embeddings)), ("cross-attention", found.delta is not None),
        ("8 bits", found.quantized is not None)) if there]
    return ", ".join(kinds)


def _steps_in(folder: Path) -> str:
    steps = sorted((path.name for path in folder.glob("step*") if path.is_dir()), key=lambda name: (len(name), name))
    return f"; did you mean {str(folder / steps[-1])!r}?" if steps else ""
