"""The step folders of any number of trainings, put onto one pipeline."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffkit.utils.neural_compressor import leave_neural_compressor_out
from diffkit.utils.step_folder import LORA_FILE, StepFolder

if TYPE_CHECKING:
    from diffkit.export.combine import SummedChanges


def check_weights(steps: Sequence[StepFolder], weights: Sequence[float] | None) -> list[float]:
    """One number for each step folder; 1 for all where none are given.

    Raises:
        ValueError: there are more or fewer, one is not finite, or a step folder has nothing to be weighed.
    """
    if weights is None:
        return [1.0] * len(steps)
    paths = [step.path.resolve() for step in steps]
    if twice := [str(step.path) for step, path in zip(steps, paths, strict=True) if paths.count(path) > 1]:
        raise ValueError(f"steps: {twice[0]} is there twice; give it once, with one weight.")
    if len(weights) != len(steps):
        raise ValueError(f"weights: {len(weights)} for {len(steps)} steps; give one for each, in their order.")
    for step, weight in zip(steps, weights, strict=True):
        if not math.isfinite(weight):
            raise ValueError(f"weights: {weight!r} for {step.path} is no finite number.")
        if weight != 1 and step.is_pipeline:
            raise ValueError(f"weights: {weight:g} for {step.path}, which is a whole pipeline: its weight is 1.")
        if weight != 1 and not (step.adapters or step.lora_file or step.delta):
            raise ValueError(f"weights: {weight:g} for {step.path}, which holds nothing to be weighed: learned words "
                             "and quantised networks have no weight but 1.")
    return list(weights)


def put_steps(pipe: Any, below: Sequence[StepFolder], steps: Sequence[StepFolder], weights: Sequence[float],
              target: str) -> None:
    """Puts what step folders hold onto a pipeline, in place.

    One that lies on all others with a weight of 1 stays an adapter beside the weights, as in training. Otherwise all
    are added up into the weights, see :class:`~diffkit.export.combine.SummedChanges`.

    Args:
        pipe: the pipeline.
        below: trained one upon the other, in this order; they act in full.
        steps: each trained on the pipeline, or on one of those before it that its ``base`` names.
        weights: one number for each of ``steps``.
        target: name of the pipeline, for messages.

    Raises:
        ValueError: a step folder does not fit, or two of them have a word in common.
    """
    from torch import nn

    from diffkit.export import apply_embeddings
    from diffkit.export.combine import SummedChanges

    networks = {name: part for name, part in pipe.components.items() if isinstance(part, nn.Module)}
    state = SummedChanges(networks)
    every, numbers = [*below, *steps], [*([1.0] * len(below)), *weights]
    for place, (step, weight) in enumerate(zip(every, numbers, strict=True)):
        apply_embeddings(pipe.components, step, target)
        on_top = place < len(below) or _lies_on_all(step, every[:place])
        state.show(summed=on_top)
        if on_top and weight == 1 and place == len(every) - 1:
            _put(pipe, networks, step, target, f"step_{place}")
        else:
            _sum_up(pipe, networks, step, weight, target, state)
            state.show(summed=True)
    for part in networks.values():
        part.eval()  # load_lora_weights adds layers in training mode


def _lies_on_all(step: StepFolder, others: Sequence[StepFolder]) -> bool:
    """Whether a step folder was trained on what these make together; on none of them otherwise.

    Raises:
        ValueError: it was trained on some of them, but not on all.
    """
    folders = {other.path.resolve(): other for other in others}
    below: set[Path] = set()
    base = step.base
    while base is not None and Path(base).resolve() in folders and Path(base).resolve() not in below:
        below.add(Path(base).resolve())
        base = folders[Path(base).resolve()].base
    beside = [str(other.path) for path, other in folders.items() if path not in below]
    if below and beside:
        raise ValueError(f"{step.path} was trained on {step.base!r}, and not on {', '.join(beside)}: name it right "
                         "behind what it was trained on, and the others after it.")
    return not beside


def _sum_up(pipe: Any, networks: dict[str, Any], step: StepFolder, weight: float, target: str,
            state: "SummedChanges") -> None:
    from diffkit.export import apply_delta
    from diffkit.export.combine import changes_by, take_adapters

    if step.delta is not None:
        state.add(changes_by(networks["unet"], "unet", lambda: apply_delta(networks, step, target)), weight)
    _put_adapters(pipe, networks, step, target, "step")
    state.add(take_adapters(networks), weight)


def _put(pipe: Any, networks: dict[str, Any], step: StepFolder, target: str, name: str) -> None:
    from diffkit.export import apply_delta

    apply_delta(networks, step, target)
    _put_adapters(pipe, networks, step, target, name)


def _put_adapters(pipe: Any, networks: dict[str, Any], step: StepFolder, target: str, name: str) -> None:
    from diffkit.export import apply_adapters, check_fits
    from diffkit.export.tensors import read_tensors

    if step.adapters:
        apply_adapters(networks, step, target, name=name)
    elif step.lora_file is not None:
        check_fits(networks, step, target)
        leave_neural_compressor_out()
        read_tensors(step.lora_file)  # says what is wrong with it
        pipe.load_lora_weights(step.path, weight_name=LORA_FILE, adapter_name=name, use_safetensors=True)
