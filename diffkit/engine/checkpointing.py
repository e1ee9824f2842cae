"""What a checkpoint of a runner holds, and how it comes back.

It holds all that the next step depends on, but for two things: frozen weights are named by a content hash,
which is checked; random generators and the position of the data follow from the step
(``diffkit.engine.seeding``).
"""

from pathlib import Path
from typing import Any

from mmengine.dist import broadcast_object_list

from diffkit.engine.checkpoint import find_latest, verify_checkpoint, write_checkpoint
from diffkit.engine.config_diff import check_config_change, flat_config
from diffkit.engine.disk import require_room
from diffkit.engine.errors import ResumeError, check_keys
from diffkit.engine.logs import load_log_history, log_history
from diffkit.engine.optimizer_state import (
    gather_gradients,
    load_gradients,
    load_optimizer_state,
    load_schedule_states,
    optimizer_state,
    save_gradients,
    schedule_states,
)
from diffkit.engine.state_io import load_nest, load_tensors, pack, read_json, save_nest, save_tensors, write_json

STATE = "state"


def save(runner: Any, folder: Path) -> Path:
    """Writes the checkpoint of the iteration that has just run.

    All processes must call it; the first one writes, and a failure there is raised in all of them.
    """
    wrapper = runner.optim_wrapper
    gradients = gather_gradients(wrapper) if wrapper.mid_accumulation else []
    error: Exception | None = None
    if runner.rank == 0:
        writers = [
            lambda aside: _write_exports(runner, aside),
            lambda aside: _write_state(runner, aside / STATE, gradients),
        ]
        try:
            require_room(runner)
            _check_finite(runner)
            write_checkpoint(folder, writers, {"step": runner.iter})
        except Exception as caught:
            error = caught
    message = [None if error is None else f"{type(error).__name__}: {error}"]
    broadcast_object_list(message, 0)
    if error is not None:
        raise error
    if message[0] is not None:
        raise RuntimeError(f"process 0 could not write {folder}: {message[0]}")
    return folder


def resume(runner: Any, source: str) -> None:
    """Puts a runner where a checkpoint was written.

    Args:
        runner: built for training.
        source: a checkpoint, or ``'auto'``: the newest valid one of the work folder, if there is one.

    Raises:
        ResumeError: it is damaged, or does not fit model, optimizer, hooks, config, data or processes.
    """
    folder = _newest(runner) if source == "auto" else _valid(Path(source))
    if folder is None:
        runner.logger.info(f"Nothing to resume in {runner.work_dir}: the training starts at iteration 0.")
        return
    state = folder / STATE
    record = read_json(state / "state.json")
    remarks = _check_fit(runner, record)
    names = _names(runner)
    weights = load_tensors(state / "model.safetensors")
    runner.bare_model.load_trainable_state(weights)
    tensors = load_optimizer_state(runner.optim_wrapper, load_nest(state / "optimizer"), names)
    remarks += load_schedule_states(runner.param_schedulers, record["param_schedulers"])
    gradients = load_gradients(runner.optim_wrapper, state, names)
    load_log_history(runner.message_hub, load_tensors(state / "log.safetensors"))
    hooks = _load_hooks(runner, state, record["hooks"])
    runner.train_loop.start_at(record["step"] + 1)
    for remark in remarks:
        runner.logger.info(remark)
    parts = [
        f"{len(weights)} trained tensors",
        f"{tensors} optimizer tensors",
        f"{len(record['param_schedulers'])} schedules",
        *hooks,
        *([f"{gradients} gradients of an incomplete accumulation"] if gradients else []),
        "data order and random state by step",
    ]
    runner.logger.info(f"Resumed {folder}: iteration {record['step'] + 1} comes next; {', '.join(parts)}.")


def load_weights(runner: Any, folder: Path) -> None:
    """Loads the trained weights of a checkpoint into the model: the averaged ones if there are any.

    Raises:
        ResumeError: it is not a valid checkpoint.
        ValueError: it does not fit the model.
    """
    state = _valid(folder) / STATE
    weights = load_tensors(state / "model.safetensors")
    averaged = (state / "ema.json").exists()
    if averaged:
        weights |= load_nest(state / "ema")["shadow"]
    runner.bare_model.load_trainable_state(weights)
    runner.logger.info(f"Loaded {len(weights)} trained tensors{' (averaged)' * averaged} from {folder}.")


def _write_exports(runner: Any, folder: Path) -> None:
    from diffkit.export import write_artifacts

    model = runner.bare_model
    with runner.averaged_weights():
        prompts = [prompt for hook in runner.hooks for prompt in getattr(hook, "prompts", ())]
        write_artifacts(model.artifacts(), folder, model.pipeline, step=runner.iter, prompts=prompts)


def _write_state(runner: Any, folder: Path, gradients: list[list[Any]]) -> None:
    folder.mkdir()
    names = _names(runner)
    weights = runner.bare_model.trainable_state()
    save_tensors(weights, folder / "model.safetensors")
    save_nest(optimizer_state(runner.optim_wrapper, names), folder / "optimizer")
    save_tensors(log_history(runner.message_hub), folder / "log.safetensors")
    hooks = _stateful_hooks(runner)
    for name, hook in hooks.items():
        save_nest(hook.state(), folder / name)
    save_gradients(runner.optim_wrapper, folder, names, gradients)
    (folder / "config.py").write_text(_once(runner, "config_text", lambda: runner.cfg.pretty_text))
    record = {
        "step": runner.iter,
        "seed": runner.seed,
        "world_size": runner.world_size,
        "sampler": _sampler_state(runner),
        "frozen": frozen_digest(runner),
        "hooks": list(hooks),
        "param_schedulers": schedule_states(runner.param_schedulers),
        "config": _once(runner, "flat_config", lambda: flat_config(runner.cfg)),
    }
    write_json(record, folder / "state.json")


def frozen_digest(runner: Any) -> str:
    """Returns the content hash of the frozen weights, taken once in a run."""
    return _once(runner, "frozen_digest", runner.bare_model.frozen_digest)


def _once(runner: Any, name: str, make: Any) -> Any:
    """Keeps on the runner what does not change in a run."""
    kept = runner.__dict__.setdefault("_kept", {})
    if name not in kept:
        kept[name] = make()
    return kept[name]


def _check_finite(runner: Any) -> None:
    """Refuses to keep weights, averages or an optimizer's state that are not finite."""
    tensors = dict(runner.bare_model.trainable_state())
    pack(optimizer_state(runner.optim_wrapper, _names(runner))["state"], tensors, "optimizer")
    for name, hook in _stateful_hooks(runner).items():
        pack(hook.state(), tensors, name)
    bad = [name for name, value in tensors.items() if value.is_floating_point() and not value.isfinite().all()]
    if bad:
        raise FloatingPointError(
            f"no checkpoint was written after iteration {runner.iter}: {len(bad)} tensors are not finite "
            f"(first: {bad[0]}); resume from the last checkpoint"
        )


def _check_fit(runner: Any, record: dict[str, Any]) -> list[str]:
    """Compares config, processes, frozen weights and data with those of the checkpoint; returns remarks."""
    allow = runner.resume_allow_change
    remarks = check_config_change(record["config"], flat_config(runner.cfg), allow)
    facts = {
        "number of processes": (record["world_size"], runner.world_size),
        "frozen weights (model.pretrained)": (record["frozen"][:16], frozen_digest(runner)[:16]),
        "training data": (record["sampler"], _sampler_state(runner)),
    }
    changed = [f"{name}: {old} -> {new}" for name, (old, new) in facts.items() if old != new]
    if changed and not allow:
        raise ResumeError(
            "this is not what the checkpoint was trained with:\n  "
            + "\n  ".join(changed)
            + "\nSet resume_allow_change=True to go on all the same"
        )
    return remarks + [f"Changed since the checkpoint: {line}" for line in changed]


def _sampler_state(runner: Any) -> dict[str, Any] | None:
    sampler = runner.train_dataloader.sampler
    return sampler.state() if hasattr(sampler, "state") else None


def _stateful_hooks(runner: Any) -> dict[str, Any]:
    return {hook.state_name: hook for hook in runner.hooks if hasattr(hook, "state_name")}


def _load_hooks(runner: Any, state: Path, saved: list[str]) -> list[str]:
    hooks = _stateful_hooks(runner)
    check_keys("hooks with a state", hooks, saved)
    for name, hook in hooks.items():
        hook.load_state(load_nest(state / name))
    return list(hooks)


def _names(runner: Any) -> dict[int, str]:
    return {id(value): name for name, value in runner.bare_model.trainable_parameters().items()}


def _newest(runner: Any) -> Path | None:
    """The newest valid checkpoint of the work folder, the same for all processes."""
    chosen: list[Path | None] = [None]
    if runner.rank == 0:
        found = find_latest(runner.work_dir)
        for folder, faults in found.skipped:
            runner.logger.warning(f"{folder.name} is not valid and is passed over: {'; '.join(faults[:3])}")
        if found.folder is not None:
            runner.logger.info(f"The newest valid checkpoint is {found.folder.name}.")
        chosen = [found.folder]
    broadcast_object_list(chosen, 0)
    return chosen[0]


def _valid(folder: Path) -> Path:
    if not folder.is_dir():
        raise ResumeError(f"checkpoint {folder} is not a folder; give one like work_dirs/<name>/step999")
    faults = verify_checkpoint(folder)
    if not faults and not (folder / STATE / "state.json").is_file():
        faults = ["it holds exports but no state of a training"]
    if faults:
        raise ResumeError(f"checkpoint {folder} is not valid: {'; '.join(faults[:3])}")
    return folder
