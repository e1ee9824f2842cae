"""What a name of pretrained weights stands for: a packaged miniature, a folder, or a model on the hub."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from diffkit.utils.near import nearest
from diffkit.utils.step_folder import StepFolder, read_step_folder
from diffkit.utils.weight_files import is_archive

#: Names of the pipelines that may come with this package, and their folders in ``diffkit/miniatures``.
PACKAGED = {"mini-sd": "mini_sd", "mini-sdxl": "mini_sdxl"}

MINIATURES = Path(__file__).resolve().parent.parent / "miniatures"

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


class PretrainedError(ValueError):
    """A model that was named cannot be loaded.

    Args:
        given: the name, as the user wrote it.
        problem: what is wrong with it: the rest of a sentence that begins with the name.
        key: the argument that it was given to.
        flag: what allows it all the same; the message ends with it.
    """

    def __init__(self, given: str | Path, problem: str, key: str = "pretrained", flag: str = "") -> None:
        super().__init__(given, problem)
        self.given, self.problem, self.key, self.flag = str(given), problem, key, flag
        self.step: Path | None = None

    def __str__(self) -> str:
        end = f" To load it all the same: {self.flag}." if self.flag else ""
        if self.step is None:
            return f"{self.key} {self.given!r} {self.problem}{end}"
        return f"{self.key}: {self.step} was trained on {self.given!r}, which {self.problem}{end}"


@contextmanager
def as_the_user_named(**names: str) -> Iterator[None]:
    """Lets a :class:`PretrainedError` inside ``with`` speak of arguments as the user wrote them.

    Args:
        names: what the user calls an argument, by its name here: ``pretrained="--sdmodel"``.
    """
    try:
        yield
    except PretrainedError as error:
        error.key = names.get(error.key, error.key)
        if error.flag:
            error.flag = names.get("allow_pickle", error.flag)
        raise


@contextmanager
def base_of(steps: Sequence[StepFolder]) -> Iterator[None]:
    """Lets a :class:`PretrainedError` about a base inside ``with`` name the step folder that names the base.

    Args:
        steps: what :func:`unroll_pretrained` put onto the base; the first one lies on it.
    """
    try:
        yield
    except PretrainedError as error:
        if steps and error.key == "pretrained":
            error.step = error.step or steps[0].path
        raise


def resolve_pretrained(name: str | Path) -> str | Path:
    """Finds what ``name`` stands for, and loads nothing.

    Args:
        name: a packaged name (``mini-sd``), a diffusers folder, a ``step<N>`` folder of a training, or a hub
            id (``owner/name``), looked for in this order.

    Returns:
        The folder, or the hub id as it is.

    Raises:
        PretrainedError: it is none of these; the message says what was found instead, or the nearest name.
    """
    if not str(name).strip():
        raise PretrainedError(name, "is empty: give a packaged name, a folder or a hub id.")
    if str(name) in PACKAGED:
        return _packaged(str(name))
    path = Path(name).expanduser()
    if path.is_dir():
        _check_folder(path)
        return path
    if path.is_file() and is_archive(path):
        raise PretrainedError(
            name, "is an archive, and archives are not unpacked: look what is in it, unpack it yourself and give the "
            "folder.")
    if path.is_file():
        raise PretrainedError(
            name, "is a file; a diffusers folder is needed. A checkpoint in one file becomes one with "
            "StableDiffusionPipeline.from_single_file(FILE).save_pretrained(FOLDER).")
    if isinstance(name, Path) or _looks_like_path(name):
        raise PretrainedError(name, f"looks like a folder, but there is none.{_beside(path)}")
    if _HUB_ID.fullmatch(name):
        return name
    near = nearest(name, PACKAGED)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    packaged = ", ".join(PACKAGED)
    raise PretrainedError(
        name, f"is neither a packaged name ({packaged}), nor a folder here, nor a hub id (owner/name).{hint}")


def _packaged(name: str) -> Path:
    folder = MINIATURES / PACKAGED[name]
    if not (folder / "model_index.json").is_file():
        raise PretrainedError(name, f"is a packaged name, but this installation has no {folder}.")
    return folder


def _check_folder(path: Path) -> None:
    """Refuses a folder that is neither a pipeline nor a step folder with something to load."""
    if (path / "model_index.json").is_file() or read_step_folder(path) is not None:
        return
    steps = sorted((p for p in path.glob("step*") if p.name[4:].isdigit()), key=lambda p: int(p.name[4:]))
    if steps:
        hint = f"It holds the steps of a training: did you mean {str(steps[-1])!r}?"
    elif (path / "config.json").is_file() and (path.parent / "model_index.json").is_file():
        hint = f"It is one component of a pipeline: give {str(path.parent)!r}."
    else:
        found = sorted(p.name + "/" * p.is_dir() for p in path.iterdir())
        shown = ", ".join(found[:10]) + (", …" if len(found) > 10 else "")
        hint = f"It holds {shown}." if found else "It is empty."
    raise PretrainedError(
        path, "is neither a diffusers folder (no model_index.json) nor a step folder (no adapter and no pipeline). "
        + hint)


def _looks_like_path(name: str) -> bool:
    """Whether a name that does not exist was meant as a folder, and not as a hub id."""
    parts = Path(name).parts
    return (name[0] in "./~" or name.endswith("/") or "\\" in name or len(parts) > 2
            or (len(parts) == 2 and Path(parts[0]).is_dir()) or bool(re.fullmatch(r"step\d+", parts[-1])))


def _beside(path: Path) -> str:
    """What lies where a missing folder was looked for."""
    parent = path.parent
    while not parent.is_dir() and parent != parent.parent:
        parent = parent.parent
    found = sorted(p.name for p in parent.iterdir() if p.is_dir() and not p.name.startswith("."))
    missing = path.relative_to(parent).parts[0]
    near = nearest(missing, found)
    if near:
        return f" Did you mean {str(parent / near[0])!r}?"
    shown = ", ".join(found[:10]) + (", …" if len(found) > 10 else "")
    return f" Folders in {str(parent)!r}: {shown or 'none'}."


def unroll_pretrained(name: str | Path) -> tuple[str | Path, list[StepFolder]]:
    """Finds the whole pipeline beneath ``name``, and the adapters on it.

    A step folder with adapters alone names what it was trained on, which may be a step folder again.

    Returns:
        A diffusers folder or a hub id, and the step folders in the order in which they are put onto it.

    Raises:
        PretrainedError: as :func:`resolve_pretrained`.
        ValueError: a step folder does not say what it was trained on.
    """
    steps: list[StepFolder] = []
    while True:
        with base_of(steps):
            source = resolve_pretrained(name)
        step = read_step_folder(source) if isinstance(source, Path) else None
        if step is None or step.is_pipeline:
            return source, steps
        if step.path in [other.path for other in steps]:
            raise ValueError(f"{step.path} is its own base: its diffkit.json is damaged.")
        if step.base is None:
            raise ValueError(
                f"{step.path} holds adapters and does not say what they were trained on: name the base too.")
        steps.insert(0, step)
        name = step.base
