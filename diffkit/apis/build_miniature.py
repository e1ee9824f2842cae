"""Trains a packaged miniature with its configs, one after the other."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from diffkit.utils.pretrained import PACKAGED
from diffkit.utils.step_folder import INFO_FILE, read_json

#: The configs of mini-sd, in order, and how many processes train each; each begins with what the one before has left.
#: Two processes train the small UNet faster than two threads do; the batch of the config is that of one process.
PARTS = {"mini_sd_vae": 1, "mini_sd_decoder": 1, "mini_sd_decoder_last": 1,
         "mini_sd_unet": 1, "mini_sd_unet_longer": 2, "mini_sd_unet_last": 2}
#: The configs of every miniature. That of mini-sdxl begins with mini-sd as it is packaged.
MINIATURES = {"mini-sd": PARTS, "mini-sdxl": {"mini_sdxl_unet": 1, "mini_sdxl_unet_last": 1}}


def build_miniature(
    out: str | Path,
    *,
    name: str = "mini-sd",
    work_dir: str | Path = "work_dirs",
    cfg_options: dict[str, Any] | None = None,
    figures: str | Path = "docs/results/mini_sd.md",
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Trains the configs of a miniature, each on what the one before has left, and packages the result.

    For mini-sd these are the VAE, its decoder further, then UNet and text encoder; for mini-sdxl the UNet and the text
    encoders alone. A training that was broken off goes on; one that is done is not done again.

    Args:
        out: the folder of the miniature.
        name: of ``MINIATURES``.
        work_dir: the trainings go to ``<work_dir>/<name of the config>``.
        cfg_options: values that replace those of every config, by dotted key.
        figures: Markdown with measured figures for the model card, if the file is there.
        say: called with lines of progress.

    Returns:
        What :func:`diffkit.apis.package_miniature.package_miniature` returns.
    """
    options = dict(cfg_options or {})
    for part, processes in MINIATURES[name].items():
        step = train_part(part, Path(work_dir), options, processes, say)
        options["model.pretrained"] = str(step)
    return package(step, out, name=name, figures=figures)


def train_part(
    name: str, root: Path, options: dict[str, Any], processes: int = 1, say: Callable[[str], None] = print
) -> Path:
    """Trains one config to its end, from its newest checkpoint if there is one.

    Returns:
        Its last step folder.

    Raises:
        RuntimeError: a training in several processes has failed; they have said why.
    """
    from diffkit.apis.configs import load_config
    from diffkit.apis.train import train
    from diffkit.engine.manifest import verify_checkpoint

    work_dir = root / name
    iterations = load_config(name, work_dir=work_dir, cfg_options=options).train_cfg.max_iters
    step = work_dir / f"step{iterations - 1}"
    if step.is_dir() and not verify_checkpoint(step):
        say(f"{name}: {step} is there")
        return step
    say(f"{name}: {iterations} iterations")
    if processes == 1:
        train(name, work_dir=work_dir, resume="auto", cfg_options=options)
    else:
        _train_in_processes(processes, name, work_dir, options)
    return step


def _train_in_processes(processes: int, name: str, work_dir: Path, options: dict[str, Any]) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}",
               "-m", "diffkit", "train", name, "--work-dir", str(work_dir), "--resume", "--launcher", "pytorch",
               "--cfg-options", *(f"{key}={value!r}" for key, value in options.items())]
    code = subprocess.run(command).returncode
    if code:
        raise RuntimeError(f"{name}: the training in {processes} processes ended with status {code}")


def package(
    step: str | Path, out: str | Path, *, name: str = "mini-sd", vae: str | Path | None = None,
    figures: str | Path = "",
) -> dict[str, Any]:
    """Packages trained step folders, with what they themselves say about their training.

    Args:
        step: of the UNet and the text encoder; a whole pipeline.
        out: the folder of the miniature.
        name: what users call it.
        vae: a step folder of the decoder's training, or None.
        figures: a Markdown file for the model card; left out where there is none.
    """
    from diffkit.apis.package_miniature import package_miniature

    trained = [Path(folder) for folder in (step, vae) if folder is not None]
    text = Path(figures).read_text(encoding="utf-8") if figures and Path(figures).is_file() else ""
    return package_miniature(step, out, name=name, vae=vae, provenance=provenance(trained), figures=text)


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
        if record.get("world_size", 1) > 1:
            batch = f"{batch} in each of {record['world_size']} processes"
        found[f"`{step.absolute().parent.name}`"] = (
            f"{record['step'] + 1} iterations of batch {batch}, seed {record['seed']}")
        began = [config.get(f"model.{key}", "None") for key in ("pretrained", "family.grown_from")]
        waiting += [Path(name) for name in began if name not in ("None", *PACKAGED)]
        found |= {f"`{name}`": "as it is packaged; its card says how it was made" for name in began if name in PACKAGED}
    lines = dict(reversed(found.items()))
    if versions:
        lines["versions"] = ", ".join(f"{name} {number}" for name, number in versions.items())
    return lines


def read_step_info(step: Path) -> dict[str, Any]:
    """``diffkit.json`` of a step folder; empty where there is none."""
    return read_json(step / INFO_FILE) if (step / INFO_FILE).is_file() else {}
