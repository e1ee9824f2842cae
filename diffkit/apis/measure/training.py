"""One training of a measurement: what it is known by, and what it took."""

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from diffkit.apis.measure import report


def recipe(cfg: Any) -> str:
    """A short name of all that decides what a training leaves: the config, and the weights of model and teacher."""
    from diffkit.engine.config_diff import flat_config

    leaves = {key: text for key, text in flat_config(cfg).items() if not key.startswith(("test_", "val_"))}
    teacher = (cfg.model.get("distiller") or {}).get("teacher")
    sources = [cfg.model.pretrained, *([teacher] if teacher else [])]
    whole = json.dumps([leaves, *map(report.pretrained_digest, sources)], sort_keys=True)
    return hashlib.sha256(whole.encode()).hexdigest()[:12]


def train_once(cfg: Any) -> tuple[Path, dict[str, float]]:
    """Trains in this process, unless that was done before with the same recipe.

    Returns:
        The last step folder, and what the training took: ``seconds`` by the clock and ``cpu_seconds`` of the
        processor, prior pictures and samples included.
    """
    from diffkit.apis.train import train

    def run() -> dict[str, float]:
        began, worked = time.perf_counter(), time.process_time()
        train(cfg, work_dir=cfg.work_dir)
        return {"seconds": time.perf_counter() - began, "cpu_seconds": time.process_time() - worked}

    return _unless_done(cfg, run)


def train_apart(cfg: Any, config: str, options: Mapping[str, Any]) -> tuple[Path, dict[str, float]]:
    """Trains in a process of its own, by ``diffkit train``, so that its memory can be told from that of others.

    Args:
        cfg: the config as ``config`` and ``options`` give it.
        config: its name or file.
        options: values that replace those of the config, by dotted key.

    Returns:
        The last step folder, and what the whole command took: ``seconds``, ``cpu_seconds``, and ``peak_mb``, the
        most memory that was resident at once, in MB (10^6 bytes).

    Raises:
        RuntimeError: the training has failed; what it wrote is in ``<work_dir>/measured.log``.
    """
    def run() -> dict[str, float]:
        command = [sys.executable, "-m", "diffkit", "train", config, "--work-dir", str(cfg.work_dir), "--cfg-options",
                   *(f"{key}={value!r}" for key, value in options.items())]
        log = Path(cfg.work_dir) / "measured.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        began = time.perf_counter()
        with log.open("wb") as stream:
            child = subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT)
            _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            raise RuntimeError(f"{config}: the training ended with status {child.returncode}; see {log}")
        return {"seconds": time.perf_counter() - began, "cpu_seconds": used.ru_utime + used.ru_stime,
                "peak_mb": resident_bytes(used.ru_maxrss) / 1e6}

    return _unless_done(cfg, run)


def resident_bytes(maxrss: int) -> int:
    """``ru_maxrss`` of ``os.wait4`` in bytes."""
    return maxrss if sys.platform == "darwin" else maxrss * 1024  # Linux counts in KiB, macOS in bytes


def _unless_done(cfg: Any, run: Any) -> tuple[Path, dict[str, float]]:
    step = Path(cfg.work_dir) / f"step{cfg.train_cfg.max_iters - 1}"
    record = Path(cfg.work_dir) / "spent.json"
    done = report.read_results(record)
    if step.is_dir() and done.get("recipe") == recipe(cfg):
        return step, done["spent"]
    spent = run()
    report.write_results(record, {"recipe": recipe(cfg), "spent": spent})
    return step, spent


def what_it_left(step: Path) -> dict[str, int]:
    """``trained``: how many numbers a training trained; ``bytes``: the size of the files that a user keeps.

    Adapters lie in a step folder in two forms; the file of diffusers counts, not PEFT's folders. The state for
    resuming does not count.
    """
    from safetensors.torch import load_file

    from diffkit.models.distillers.consistency import AVERAGE
    from diffkit.utils.step_folder import read_step_folder

    trained = sum(tensor.numel() for name, tensor in load_file(step / "state" / "model.safetensors").items()
                  if not name.startswith(f"distiller.{AVERAGE}"))  # an average is not trained
    folder = read_step_folder(step)
    if folder is None:
        raise ValueError(f"{step} holds nothing that can be loaded")
    if folder.is_pipeline:
        kept = [file for file in step.rglob("*.safetensors") if "state" not in file.relative_to(step).parts]
    else:
        kept = [file for files in folder.embeddings.values() for file in files]
        kept += [file for file in (folder.delta,) if file is not None]
        kept += ([folder.lora_file] if folder.lora_file is not None
                 else [file for part in folder.adapters.values() for file in part.glob("*.safetensors")])
    return {"trained": trained, "bytes": sum(file.stat().st_size for file in kept)}


def integer_bytes(step: Path) -> int:
    """Bytes of a step folder's quantised UNet: its tensors and their description, the proof left out."""
    from diffkit.export.quantized import INFO_FILE, WEIGHTS_FILE
    from diffkit.utils.step_folder import QUANTIZED_UNET

    return sum((step / QUANTIZED_UNET / name).stat().st_size for name in (WEIGHTS_FILE, INFO_FILE))
