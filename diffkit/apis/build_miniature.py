"""Trains the packaged miniature from nothing, with its configs, one after the other."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from diffkit.utils.step_folder import INFO_FILE, read_json

#: The configs, in order; each begins with what the one before has left.
PARTS = ("mini_sd_vae", "mini_sd_decoder", "mini_sd_unet")


def build_mini_sd(
    out: str | Path,
    *,
    work_dir: str | Path = "work_dirs",
    cfg_options: dict[str, Any] | None = None,
    figures: str | Path = "docs/results/mini_sd.md",
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Trains the VAE, its decoder further, then UNet and text encoder, and packages the result.

    A training that was broken off goes on; one that is done is not done again.

    Args:
        out: the folder of the miniature.
        work_dir: the trainings go to ``<work_dir>/<name of the config>``.
        cfg_options: values that replace those of every config, by dotted key.
        figures: Markdown with measured figures for the model card, if the file is there.
        say: called with lines of progress.

    Returns:
        What :func:`diffkit.apis.package_miniature.package_miniature` returns.
    """
    options = dict(cfg_options or {})
    for name in PARTS:
        step = train_part(name, Path(work_dir), options, say)
        options["model.pretrained"] = str(step)
    return package(step, out, figures=figures)


def train_part(name: str, root: Path, options: dict[str, Any], say: Callable[[str], None] = print) -> Path:
    """Trains one config to its end, from its newest checkpoint if there is one.

    Returns:
        Its last step folder.
    """
    from diffkit.apis.configs import load_config
    from diffkit.apis.train import train
    from diffkit.engine.checkpoint import verify_checkpoint

    work_dir = root / name
    iterations = load_config(name, work_dir=work_dir, cfg_options=options).train_cfg.max_iters
    step = work_dir / f"step{iterations - 1}"
    if step.is_dir() and not verify_checkpoint(step):
        say(f"{name}: {step} is there")
        return step
    say(f"{name}: {iterations} iterations")
    train(name, work_dir=work_dir, resume="auto", cfg_options=options)
    return step


def package(
    step: str | Path, out: str | Path, *, vae: str | Path | None = None, figures: str | Path = ""
) -> dict[str, Any]:
    """Packages trained step folders, with what they themselves say about their training.

    Args:
        step: of the UNet and the text encoder; a whole pipeline.
        out: the folder of the miniature.
        vae: a step folder of the decoder's training, or None.
        figures: a Markdown file for the model card; left out where there is none.
    """
    from diffkit.apis.package_miniature import package_miniature

    trained = [Path(folder) for folder in (step, vae) if folder is not None]
    text = Path(figures).read_text(encoding="utf-8") if figures and Path(figures).is_file() else ""
    return package_miniature(step, out, vae=vae, provenance=provenance(trained), figures=text)


def provenance(steps: list[Path]) -> dict[str, str]:
    """What step folders, and those that they began with, say of their trainings, the earliest first."""
    found: dict[str, str] = {}
    versions: dict[str, str] = {}
    waiting = list(steps)
    while waiting:
        step = waiting.pop(0)
        if not (step / "state" / "state.json").is_file():
            continue
        record, info = read_json(step / "state" / "state.json"), read_step_info(step)
        config = {key: text.strip("'") for key, text in record["config"].items()}
        versions = versions or info.get("versions", {})
        batch = config.get("train_dataloader.batch_size", "?")
        found[f"`{step.absolute().parent.name}`"] = (
            f"{record['step'] + 1} iterations of batch {batch}, seed {record['seed']}")
        began = config.get("model.pretrained", "None")
        if began != "None":
            waiting.append(Path(began))
    lines = dict(reversed(found.items()))
    if versions:
        lines["versions"] = ", ".join(f"{name} {number}" for name, number in versions.items())
    return lines


def read_step_info(step: Path) -> dict[str, Any]:
    """``diffkit.json`` of a step folder; empty where there is none."""
    return read_json(step / INFO_FILE) if (step / INFO_FILE).is_file() else {}
