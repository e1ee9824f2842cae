"""What a checkpoint of a runner holds, and how it comes back.

It holds all that the next step depends on, but for the frozen weights: they are named by a content hash, which is
checked. Random generators and the position of the data follow from the step (``diffkit.engine.seeding``); they are
written all the same, the generators for each process.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from mmengine.dist import all_gather_object, broadcast_object_list

from diffkit.engine.background import BackgroundWork
from diffkit.engine.checkpoint import Draft
from diffkit.engine.config_diff import flat_config
from diffkit.engine.disk import checkpoint_bytes, require_room
from diffkit.engine.errors import check_keys
from diffkit.engine.files import folder_size
from diffkit.engine.logs import load_log_history, log_history
from diffkit.engine.model_card import model_card
from diffkit.engine.nonfinite import check_finite, check_finite_files
from diffkit.engine.optimizer_state import (
    gather_gradients,
    load_gradients,
    load_optimizer_state,
    load_schedule_states,
    optimizer_state,
    save_gradients,
    schedule_states,
)
from diffkit.engine.resume_checks import (
    STATE,
    check_fit,
    frozen_digest,
    newest_checkpoint,
    once,
    optimizer_options,
    sampler_state,
    valid_checkpoint,
)
from diffkit.engine.seeding import generator_states, set_generator_states
from diffkit.engine.state_io import (
    host_copy,
    load_nest,
    load_tensors,
    pack,
    read_json,
    save_nest,
    save_tensors,
    write_json,
)

_GENERATORS = "random_rank"
Kept = Callable[[Any], Any]  # what is done to a nest of tensors before it is written


def _as_it_is(value: Any) -> Any:
    return value


def save(runner: Any, folder: Path, background: bool = False, then: Callable[[], Any] = lambda: None) -> Path:
    """Writes the checkpoint of the iteration that has just run.

    All processes must call it; the first one writes, and a failure there is raised in all of them.

    Args:
        runner: the training.
        folder: where it will stand.
        background: goes on as soon as the exports are written and the state is copied; the rest (writing the state,
            looking for values that are not finite, flushing, hashes, the name) is done beside the training. At most one
            checkpoint is written so: the next one, and :func:`finish`, wait for it and raise what went wrong.
        then: called by the first process when the checkpoint stands.
    """
    finish(runner)
    wrapper = runner.optim_wrapper
    gradients = gather_gradients(wrapper) if wrapper.mid_accumulation else []
    generators = all_gather_object(generator_states())
    error: Exception | None = None
    if background:
        runner.saving = None, folder
    if runner.rank == 0:
        try:
            work = _begin(runner, folder, gradients, generators, host_copy if background else _as_it_is, then)
            if background:
                runner.saving = BackgroundWork(work, f"writes {folder.name}"), folder
            else:
                work()
        except Exception as caught:
            error = caught
    _agree(error, folder)
    return folder


def finish(runner: Any) -> None:
    """Waits for the checkpoint that is written beside the training, if there is one; all processes must call it.

    Raises:
        Exception: what went wrong with it, in all processes.
    """
    work, folder = runner.saving or (None, None)
    if folder is None:
        return
    runner.saving = None
    _agree(work.wait() if work is not None else None, folder)


def _agree(error: BaseException | None, folder: Path) -> None:
    """Raises the first process's error in all of them."""
    message = [None if error is None else f"{type(error).__name__}: {error}"]
    broadcast_object_list(message, 0)
    if error is not None:
        raise error
    if message[0] is not None:
        raise RuntimeError(f"process 0 could not write {folder}: {message[0]}")


def _begin(runner: Any, folder: Path, gradients: list[Any], generators: list[Any], kept: Kept,
           then: Callable[[], Any]) -> Callable[[], None]:
    """Does of a checkpoint what needs the model as it is now; what is returned does the rest."""
    step = runner.iter
    require_room(runner)
    tensors, write_state = _state(runner, gradients, generators, kept)
    if kept is _as_it_is:
        check_finite(tensors, step)
    draft = Draft(folder, lambda: checkpoint_bytes(runner))
    draft.add(lambda aside: _write_exports(runner, aside))

    def work() -> None:
        if kept is not _as_it_is:
            draft.add(lambda aside: check_finite(tensors, step))
        draft.add(lambda aside: check_finite_files(aside, step))
        draft.add(lambda aside: write_state(aside / STATE))  # checked in memory
        draft.finish({"step": step})
        runner.written_bytes = folder_size(folder)
        then()

    return work


def resume(runner: Any, source: str) -> None:
    """Puts a runner where a checkpoint was written.

    Args:
        runner: built for training.
        source: a checkpoint, or ``'auto'``: the newest valid one of the work folder, if there is one.

    Raises:
        ResumeError: it is damaged, or does not fit model, optimizer, hooks, config, data or processes.
    """
    folder = newest_checkpoint(runner) if source == "auto" else valid_checkpoint(Path(source))
    if folder is None:
        runner.logger.info(f"Nothing to resume in {runner.work_dir}: the training starts at iteration 0.")
        return
    state = folder / STATE
    record = read_json(state / "state.json")
    changed, remarks = check_fit(runner, record)
    names = _names(runner)
    weights = load_tensors(state / "model.safetensors")
    runner.bare_model.load_trainable_state(weights)
    options = optimizer_options(changed)
    tensors = load_optimizer_state(runner.optim_wrapper, load_nest(state / "optimizer"), names, options)
    remarks += load_schedule_states(runner.param_schedulers, record["param_schedulers"])
    whole = "optim_wrapper.accumulative_counts" in changed
    gradients = 0 if whole else load_gradients(runner.optim_wrapper, state, names)
    load_log_history(runner.message_hub, load_tensors(state / "log.safetensors"))
    hooks = _load_hooks(runner, state, record["hooks"])
    own_generators = state / f"{_GENERATORS}{runner.rank}"
    same_generators = record["world_size"] == runner.world_size and own_generators.with_suffix(".json").exists()
    if same_generators:
        set_generator_states(load_nest(own_generators))
    runner.train_loop.start_at(record["step"] + 1, record.get("draws"))
    for remark in remarks:
        runner.logger.info(remark)
    parts = [
        f"{len(weights)} trained tensors",
        f"{tensors} optimizer tensors",
        f"{len(record['param_schedulers'])} schedules",
        *hooks,
        *([f"{gradients} gradients of an incomplete accumulation"] if gradients else []),
        f"data from draw {runner.train_loop.draws_before(record['step'] + 1)}",
        *(["random generators"] if same_generators else []),
    ]
    runner.logger.info(f"Resumed {folder}: iteration {record['step'] + 1} comes next; {', '.join(parts)}.")


def load_weights(runner: Any, folder: Path) -> None:
    """Loads the trained weights of a checkpoint into the model: the averaged ones if there are any.

    Where the calibrated model was kept instead of a trained quantised one, it loads the ranges of that model alone.

    Raises:
        ResumeError: it is not a valid checkpoint.
        ValueError: it does not fit the model.
    """
    state = valid_checkpoint(folder) / STATE
    weights = load_tensors(state / "model.safetensors")
    averaged = (state / "ema.json").exists()
    if averaged:
        weights |= load_nest(state / "ema")["shadow"]
    if (state / "quantization.json").exists():
        quantized = load_nest(state / "quantization")
        if quantized["kept"] == "calibrated":
            weights = runner.bare_model.trainable_state() | quantized["ranges"]
    runner.bare_model.load_trainable_state(weights)
    runner.logger.info(f"Loaded {len(weights)} trained tensors{' (averaged)' * averaged} from {folder}.")


def _write_exports(runner: Any, folder: Path) -> None:
    from diffkit.export import write_artifacts

    model = runner.bare_model
    with runner.averaged_weights():
        prompts = [prompt for hook in runner.hooks for prompt in getattr(hook, "prompts", ())]
        write_artifacts(model.artifacts(), folder, model.pipeline, step=runner.iter, prompts=prompts)
    if (folder / "model_index.json").is_file():
        (folder / "README.md").write_text(model_card(runner), encoding="utf-8")


def _state(runner: Any, gradients: list[list[Any]], generators: list[Any],
           kept: Kept) -> tuple[dict[str, Any], Callable[[Path], None]]:
    """What a checkpoint holds of the training at this moment.

    Returns:
        All tensors but gradients and logs, by name, and what writes everything into a folder that it makes.
    """
    names, wrapper = _names(runner), runner.optim_wrapper
    order = [names[id(parameter)] for parameter in wrapper.parameters()]
    weights = kept(runner.bare_model.trainable_state())
    optimizer = kept(optimizer_state(wrapper, names))
    hooks = {name: kept(hook.state()) for name, hook in _stateful_hooks(runner).items()}
    history, gradients = log_history(runner.message_hub), kept(gradients)
    text = once(runner, "config_text", lambda: runner.cfg.pretty_text)
    record = {
        "step": runner.iter,
        "seed": runner.seed,
        "world_size": runner.world_size,
        "draws": runner.train_loop.draws_before(runner.iter + 1),
        "sampler": sampler_state(runner),
        "frozen": frozen_digest(runner),
        "hooks": list(hooks),
        "param_schedulers": schedule_states(runner.param_schedulers),
        "config": once(runner, "flat_config", lambda: flat_config(runner.cfg)),
    }

    def write(folder: Path) -> None:
        folder.mkdir()
        save_tensors(weights, folder / "model.safetensors")
        save_nest(optimizer, folder / "optimizer")
        save_tensors(history, folder / "log.safetensors")
        for name, state in hooks.items():
            save_nest(state, folder / name)
        save_gradients(folder, order, gradients)
        for rank, states in enumerate(generators):
            save_nest(states, folder / f"{_GENERATORS}{rank}")
        (folder / "config.py").write_text(text)
        write_json(record, folder / "state.json")

    tensors = dict(weights)
    pack(optimizer["state"], tensors, "optimizer")
    for name, state in hooks.items():
        pack(state, tensors, name)
    return tensors, write


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
