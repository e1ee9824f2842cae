"""Which checkpoint a training goes on from, and whether it fits."""

from pathlib import Path
from typing import Any

from mmengine.dist import broadcast_object_list

from diffkit.engine.checkpoint import find_latest
from diffkit.engine.config_diff import check_config_change, flat_config
from diffkit.engine.errors import ResumeError
from diffkit.engine.manifest import verify_checkpoint

STATE = "state"


def newest_checkpoint(runner: Any) -> Path | None:
    """The newest valid checkpoint of the work folder, the same for all processes.

    Raises:
        ResumeError: there are checkpoints, and none is valid: to start anew then is for the user to decide.
    """
    chosen: list[Any] = [None, 0]
    if runner.rank == 0:
        found = find_latest(runner.work_dir)
        for folder, faults in found.skipped:
            runner.logger.warning(f"{folder.name} is not valid and is passed over: {'; '.join(faults[:3])}")
        if found.folder is not None:
            runner.logger.info(f"The newest valid checkpoint is {found.folder.name}.")
        chosen = [found.folder, len(found.skipped)]
    broadcast_object_list(chosen, 0)
    folder, skipped = chosen
    if folder is None and skipped:
        raise ResumeError(
            f"none of the {skipped} checkpoints in {runner.work_dir} is valid; without --resume the training "
            "starts anew"
        )
    return None if folder is None else _with_state(folder)


def valid_checkpoint(folder: Path) -> Path:
    """Returns ``folder``, or raises a ResumeError that says what is wrong with it."""
    if not folder.is_dir():
        raise ResumeError(f"checkpoint {folder} is not a folder; give one like work_dirs/<name>/step999")
    faults = verify_checkpoint(folder)
    if faults:
        raise ResumeError(f"checkpoint {folder} is not valid: {'; '.join(faults[:3])}")
    return _with_state(folder)


def _with_state(folder: Path) -> Path:
    if not (folder / STATE / "state.json").is_file():
        raise ResumeError(f"checkpoint {folder} holds exports but no state of a training")
    return folder


def check_fit(runner: Any, record: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Compares config, processes, frozen weights and data with those of the checkpoint.

    Returns:
        The keys of the config whose change alters the mathematics, and remarks.
    """
    allow = runner.resume_allow_change
    change = check_config_change(record["config"], flat_config(runner.cfg), allow)
    sampler = sampler_state(runner) or {}
    facts = {
        "number of processes": (record["world_size"], runner.world_size),
        "frozen weights (model.pretrained)": (record["frozen"][:16], frozen_digest(runner)[:16]),
    } | {
        f"training data, {key}": (value, sampler.get(key))
        for key, value in (record["sampler"] or {}).items()
        if key != "world_size"
    }
    changed = [f"{name}: {old} -> {new}" for name, (old, new) in facts.items() if old != new]
    if changed and not allow:
        raise ResumeError(
            "this is not what the checkpoint was trained with:\n  "
            + "\n  ".join(changed)
            + "\nGo on all the same with --allow-change (resume_allow_change=True)"
        )
    remarks = [f"Changed since the checkpoint: {line}" for line in [*change.lines.values(), *changed]]
    return change.mathematics, remarks


def optimizer_options(changed: list[str]) -> set[str]:
    """The options of the optimizer that a change of the config has changed."""
    options = {key.split(".")[2] for key in changed if key.startswith("optim_wrapper.optimizer.")}
    return options | ({"lr", "weight_decay"} if changed else set())  # by multipliers, or by scale_lr


def sampler_state(runner: Any) -> dict[str, Any] | None:
    """Returns what, beside the position, decides the order of the data; None if the sampler cannot say."""
    sampler = runner.train_dataloader.sampler
    return sampler.state() if hasattr(sampler, "state") else None


def frozen_digest(runner: Any) -> str:
    """Returns the content hash of the frozen weights, taken once in a run."""
    return once(runner, "frozen_digest", runner.bare_model.frozen_digest)


def once(runner: Any, name: str, make: Any) -> Any:
    """Keeps on the runner what does not change in a run."""
    kept = runner.__dict__.setdefault("_kept", {})
    if name not in kept:
        kept[name] = make()
    return kept[name]
