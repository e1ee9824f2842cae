"""Saving and resuming a runner: what goes into a checkpoint folder, and how it comes back."""

from pathlib import Path
from typing import Any

import torch
from mmengine.dist import broadcast_object_list

from diffkit.engine import training_state as ts
from diffkit.engine.checkpoint import clean_leftovers, find_latest, verify_checkpoint, write_checkpoint
from diffkit.engine.config_diff import check_config_change, flat_config
from diffkit.engine.state_io import load_nest, load_tensors, read_json, save_nest, save_tensors, write_json
from diffkit.engine.training_state import STATE, ResumeError


def save(runner: Any, folder: Path) -> Path:
    """Writes the checkpoint of the iteration that has just run.

    Every process must call it; the first one writes, and a failure there is raised in all of them.
    """
    gradients = ts.gather_gradients(runner.optim_wrapper) if runner.optim_wrapper.mid_accumulation else []
    failure: list[str | None] = [None]
    error: BaseException | None = None
    if runner.rank == 0:
        try:
            step = runner.iter
            write_checkpoint(folder, [lambda aside: _write_exports(runner, aside),
                                      lambda aside: _write_state(runner, aside / STATE, gradients)],
                             {"step": step, "experiment": runner.cfg.filename or ""})
        except Exception as caught:
            error, failure = caught, [f"{type(caught).__name__}: {caught}"]
    broadcast_object_list(failure, 0)
    if error is not None:
        raise error
    if failure[0] is not None:
        raise RuntimeError(f"process 0 could not write {folder}: {failure[0]}")
    return folder


def resume(runner: Any, source: bool | str) -> None:
    """Puts a runner where a checkpoint was written; with ``True`` or ``'auto'`` at the newest valid one, if any.

    Raises:
        ResumeError: the checkpoint is damaged, or does not fit model, optimizer, hooks, config or processes.
    """
    folder = _newest(runner) if source in (True, "auto") else _given(str(source))
    if folder is None:
        runner.logger.info(f"Nothing to resume in {runner.work_dir}: the training starts at step 0.")
        return
    state = folder / STATE
    record = read_json(state / "state.json")
    _check_fit(runner, record)
    remarks = check_config_change(record["config"], flat_config(runner.cfg), runner.resume_allow_change)
    names = _names(runner)
    weights = load_tensors(state / "model.safetensors")
    runner.bare_model.load_trainable_state(weights)
    tensors = ts.load_optimizer_state(runner.optim_wrapper, load_nest(state / "optimizer"), names)
    remarks += ts.load_scheduler_states(runner.param_schedulers, record["param_schedulers"])
    held = ts.load_gradients(runner.optim_wrapper, state, names)
    ts.load_log_history(runner.message_hub, load_tensors(state / "log.safetensors"))
    restored = _load_hooks(runner, state)
    runner.train_loop.start_at(record["step"] + 1)
    for remark in remarks:
        runner.logger.info(remark)
    parts = [f"{len(weights)} trained tensors", f"{tensors} optimizer tensors",
             f"{len(record['param_schedulers'])} schedules", *restored,
             *(["gradients of an incomplete accumulation"] if held else []),
             "random state and data order follow from the step"]
    runner.logger.info(f"Resumed from {folder}: iteration {record['step'] + 1} comes next; {', '.join(parts)}.")


def load_weights(runner: Any, folder: Path) -> None:
    """Loads the trained weights of a checkpoint into the model: the averaged ones if there are any.

    Raises:
        ResumeError: there is no valid checkpoint, or it does not fit the model.
    """
    state = _given(str(folder)) / STATE
    averaged = state / "ema.json"
    weights = load_nest(state / "ema")["shadow"] if averaged.exists() else load_tensors(state / "model.safetensors")
    runner.bare_model.load_trainable_state(weights)
    runner.logger.info(f"Loaded {len(weights)} {'averaged ' if averaged.exists() else ''}tensors from {folder}.")


def _write_exports(runner: Any, folder: Path) -> None:
    from diffkit.export import write_artifacts

    model = runner.bare_model
    with runner.averaged_weights():
        write_artifacts(model.artifacts(), folder, model.pipeline)


def _write_state(runner: Any, folder: Path, gradients: list[list[Any]]) -> None:
    folder.mkdir()
    names = _names(runner)
    weights = runner.bare_model.trainable_state()
    _check_finite(weights, runner.iter)
    save_tensors(weights, folder / "model.safetensors")
    save_nest(ts.optimizer_state(runner.optim_wrapper, names), folder / "optimizer")
    save_tensors(ts.log_history(runner.message_hub), folder / "log.safetensors")
    for hook in _stateful_hooks(runner):
        save_nest(hook.state(), folder / hook.state_name)
    ts.save_gradients(runner.optim_wrapper, folder, names, gradients)
    (folder / "config.py").write_text(runner.cfg.pretty_text, encoding="utf-8")
    write_json({"step": runner.iter, "seed": runner.seed, "world_size": runner.world_size,
                "sampler": _sampler_state(runner), "frozen": frozen_digest(runner),
                "hooks": [hook.state_name for hook in _stateful_hooks(runner)],
                "param_schedulers": ts.scheduler_states(runner.param_schedulers),
                "config": flat_config(runner.cfg)}, folder / "state.json")


def frozen_digest(runner: Any) -> str:
    """Returns the content hash of the frozen weights, taken once in a run."""
    if not hasattr(runner, "_frozen_digest"):
        runner._frozen_digest = runner.bare_model.frozen_digest()
    return str(runner._frozen_digest)


def _check_finite(weights: dict[str, torch.Tensor], step: int) -> None:
    bad = [name for name, value in weights.items()
           if value.is_floating_point() and not bool(torch.isfinite(value).all())]
    if bad:
        raise FloatingPointError(f"no checkpoint was written after iteration {step}: {len(bad)} trained tensors are "
                                 f"not finite (first: {bad[0]}); resume from the last checkpoint")


def _check_fit(runner: Any, record: dict[str, Any]) -> None:
    if record["world_size"] != runner.world_size and not runner.resume_allow_change:
        raise ResumeError(f"the checkpoint was written by {record['world_size']} processes, now there are "
                          f"{runner.world_size}: set resume_allow_change=True to go on with other batches")
    if record["frozen"] != frozen_digest(runner):
        raise ResumeError("the frozen weights are not those of the checkpoint: model.pretrained has changed; "
                          f"hash {frozen_digest(runner)[:12]} instead of {record['frozen'][:12]}")
    sampler = _sampler_state(runner)
    if record["sampler"] != sampler and not runner.resume_allow_change:
        raise ResumeError(f"the training data are not those of the checkpoint: {sampler} instead of "
                          f"{record['sampler']}; set resume_allow_change=True to go on")


def _sampler_state(runner: Any) -> dict[str, Any] | None:
    sampler = runner.train_dataloader.sampler
    return sampler.state() if hasattr(sampler, "state") else None


def _stateful_hooks(runner: Any) -> list[Any]:
    return [hook for hook in runner.hooks if hasattr(hook, "state_name")]


def _load_hooks(runner: Any, state: Path) -> list[str]:
    own = {hook.state_name: hook for hook in _stateful_hooks(runner)}
    ts.check_keys("hooks with a state", own, set(read_json(state / "state.json")["hooks"]))
    for name, hook in own.items():
        hook.load_state(load_nest(state / name))
    return list(own)


def _names(runner: Any) -> dict[int, str]:
    return {id(value): name for name, value in runner.bare_model.trainable_parameters().items()}


def _newest(runner: Any) -> Path | None:
    if runner.rank == 0:
        clean_leftovers(runner.work_dir)
    found = find_latest(runner.work_dir)
    for folder, faults in found.skipped:
        runner.logger.warning(f"{folder.name} is not valid and is passed over: {'; '.join(faults[:3])}")
    if found.folder is not None:
        runner.logger.info(f"The newest valid checkpoint is {found.folder.name}.")
    return found.folder


def _given(source: str) -> Path:
    folder = Path(source)
    if not folder.is_dir():
        raise ResumeError(f"checkpoint {source} is not a folder; allowed: work_dirs/<name>/step<N>")
    faults = verify_checkpoint(folder)
    if faults:
        raise ResumeError(f"checkpoint {source} is not valid: {'; '.join(faults[:3])}")
    return folder
