"""Writing a report: gathers, lets models paint, and writes page and tables."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from diffkit.apis.report.markdown import markdown
from diffkit.apis.report.models import Comparison, Model, Say, compare, models_of_runs, prompts_of, read_models
from diffkit.apis.report.notes import explain
from diffkit.apis.report.page import page
from diffkit.apis.report.run import read_runs
from diffkit.engine.environment import describe_environment
from diffkit.engine.files import replace_text
from diffkit.utils.device import choose_device
from diffkit.utils.near import nearest
from diffkit.utils.pretrained import as_the_user_named
from diffkit.version import __version__

AUTO = "auto"


def write_report(
    work_dirs: Sequence[str | Path],
    *,
    models: Sequence[str] = (),
    prompts: Sequence[str] = (),
    images_num: int = 2,
    seed: int = 0,
    out: str | Path = "report.html",
    title: str | None = None,
    picture_side: int = 320,
    say: Say = print,
    **comparison: Any,
) -> list[Path]:
    """Writes one page on trainings and models, and its tables as Markdown beside it.

    Reading work folders loads no model. Each of ``models`` is loaded in a process of its own, timed, and paints every
    prompt from the same noise as the others.

    Args:
        work_dirs: folders of trainings; may be empty where there are models.
        models: names and step folders, each perhaps as ``LABEL=NAME``; ``["auto"]`` takes what each training began
            with, and its newest step folder.
        prompts: what the models paint; those that the trainings sampled by default, six at most.
        images_num: pictures of each prompt, 1 or more.
        seed: of the first picture of each prompt; each next one has the next seed.
        out: the page, a file that ends with ``.html``; the tables have its name with ``.md``.
        title: of the page.
        picture_side: longer side of the pictures in the page at most, 32 pixels or more; files stay as they are.
        say: called with lines of progress.
        comparison: further fields of :class:`~diffkit.apis.report.models.Comparison`.

    Returns:
        The page and the tables.

    Raises:
        FileNotFoundError: a work folder is not there.
        ValueError: an argument is not valid.
        PretrainedError: a model is not there.
    """
    path = Path(out).expanduser()
    _check(work_dirs, models, path, images_num, seed, picture_side, comparison)
    runs = read_runs(work_dirs)
    names = models_of_runs(runs) if list(models) == [AUTO] else list(models)
    with as_the_user_named(pretrained="--models"):
        found = read_models(names)
    wanted = None
    if found:
        wanted = Comparison(list(prompts) or prompts_of(runs, found), [*range(seed, seed + images_num)], **comparison)
        choose_device(wanted.device)  # before anything is loaded
        compare(found, wanted, say)
    title = title or "Report on " + ", ".join([run.name for run in runs] or [model.label for model in found])
    subtitle = f"{datetime.now().astimezone():%d %B %Y, %H:%M %Z}, diffkit {__version__}"
    notes = explain(runs, found, wanted)
    here = describe_environment().splitlines()[1:]
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_text(path, page(title, subtitle, notes, runs, found, wanted, here, picture_side))
    tables = path.with_suffix(".md")
    replace_text(tables, markdown(title, [*notes, *_machine(found)], runs, found))
    return [path, tables]


def _check(work_dirs: Sequence[str | Path], models: Sequence[str], out: Path, images_num: int, seed: int, side: int,
           comparison: dict[str, Any]) -> None:
    if not work_dirs and not models:
        raise ValueError("WORK_DIR: give folders of trainings, or models with --models")
    if AUTO in models and (len(models) > 1 or not work_dirs):
        raise ValueError("--models: 'auto' stands alone, and takes the models of the trainings: give their folders")
    if out.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"--out: the page ends with .html, given {str(out)!r}")
    limits = {"images_num": (images_num, 1), "seed": (seed, 0), "picture_side": (side, 32)}
    limits |= {name: (comparison[name], 1) for name in ("repeats", "batch_size", "num_inference_steps")
               if name in comparison}
    for name, (value, least) in limits.items():
        if value < least:
            raise ValueError(f"{name} must be {least} or more, not {value!r}")
    unknown = [name for name in comparison if name not in Comparison.__dataclass_fields__]
    if unknown:
        near = nearest(unknown[0], Comparison.__dataclass_fields__)
        raise TypeError(f"unknown argument {unknown[0]!r}" + (f"; did you mean {near[0]!r}?" if near else ""))


def _machine(models: Sequence[Model]) -> list[str]:
    """Where it was measured, for the tables; the page has the environment."""
    measured = [model.result["machine"] for model in models if model.result]
    if not measured:
        return []
    here = measured[0]
    versions = ", ".join(f"{name} {here[name]}" for name in ("torch", "diffusers", "transformers", "peft"))
    return [f"Measured on {here['processor']}, {here['cores']} cores, {here['threads']} threads of torch, "
            f"Python {here['python']}, {versions}."]
