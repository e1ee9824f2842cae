"""What a checkpoint of a runner holds, and how it comes back.

It holds all that the next step depends on, but for the frozen weights: they are named by a content hash, which is
checked. Random generators and the position of the data follow from the step (``diffkit.engine.seeding``); they are
written all the same, the generators for each process.
"""

from pathlib import Path
from typing import Any

from mmengine.dist import all_gather_object, broadcast_object_list

from diffkit.engine.checkpoint import write_checkpoint
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
from diffkit.engine.state_io import load_nest, load_tensors, pack, read_json, save_nest, save_tensors, write_json

_GENERATORS = "random_rank"


def save(runner: Any, folder: Path) -> Path:
    """Writes the checkpoint of the iteration that has just run.

    All processes must call it; the first one writes, and a failure there is raised in all of them.
    """
    wrapper = runner.optim_wrapper
    gradients = gather_gradients(wrapper) if wrapper.mid_accumulation else []
    generators = all_gather_object(generator_states())
    error: Exception | None = None
    if runner.rank == 0:
        writers = [
            lambda aside: _write_exports(runner, aside),
            lambda aside: check_finite_files(aside, runner.iter),
            lambda aside: _write_state(runner, aside / STATE, gradients, generators),  # checked in memory
        ]
        try:
            require_room(runner)
            check_finite(_tensors(runner), runner.iter)
            write_checkpoint(folder, writers, {"step": runner.iter}, lambda: checkpoint_bytes(runner))
            runner.written_bytes = folder_size(folder)
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


def _write_state(runner: Any, folder: Path, gradients: list[list[Any]], generators: list[Any]) -> None:
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
    for rank, states in enumerate(generators):
        save_nest(states, folder / f"{_GENERATORS}{rank}")
    (folder / "config.py").write_text(once(runner, "config_text", lambda: runner.cfg.pretty_text))
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
    write_json(record, folder / "state.json")


def _tensors(runner: Any) -> dict[str, Any]:
    """All tensors of the state but gradients and logs, by name."""
    tensors = dict(runner.bare_model.trainable_state())
    pack(optimizer_state(runner.optim_wrapper, _names(runner))["state"], tensors, "optimizer")
    for name, hook in _stateful_hooks(runner).items():
        pack(hook.state(), tensors, name)
    return tensors


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
