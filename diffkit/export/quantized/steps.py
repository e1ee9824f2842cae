"""Step folders with a quantised UNet among others: which one counts, and what may lie beside it."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from diffkit.export.quantized.load import load_quantized, read_info
from diffkit.export.quantized.network import dequantized
from diffkit.utils.pretrained import unroll_pretrained
from diffkit.utils.step_folder import StepFolder, find_quantized

_log = logging.getLogger("diffkit")

#: What of two UNets' configs must be equal, so that one can take the other's place in a pipeline.
_INTERFACE = ("in_channels", "out_channels", "cross_attention_dim", "addition_embed_type")


def take_quantized(source: str | Path, below: Sequence[StepFolder], steps: Sequence[StepFolder]
                   ) -> tuple[list[StepFolder], list[StepFolder], Path | None]:
    """Finds the quantised UNet among step folders.

    What it was trained on has become a part of it: of those step folders only words and text encoders are left.

    Args:
        source: the pipeline beneath all.
        below: step folders, each trained on all before it.
        steps: further step folders.

    Returns:
        ``below`` and ``steps`` without what is in the quantised UNet already, and the folder of that UNet, or None.

    Raises:
        ValueError: there are two, or something that changes the UNet's weights is to be put beside it.
    """
    every = [*below, *steps]
    holders = [number for number, step in enumerate(every) if step.quantized is not None]
    if len([number for number in holders if number >= len(below)]) > 1:
        raise ValueError(f"steps: {' and '.join(str(every[n].path) for n in holders)} each hold a quantised UNet; a "
                         "pipeline has one.")
    if not holders:
        found = find_quantized(source) if isinstance(source, Path) else None
        contained: list[Path] = []
    else:
        found = every[holders[-1]].quantized
        contained = [step.path.resolve() for step in unroll_pretrained(every[holders[-1]].path)[1]]
    if found is None:
        return list(below), list(steps), None
    left = []
    for step in every:
        inside = step.path.resolve() in contained
        if _changes_unet(step) and not inside:
            raise ValueError(f"{step.path} changes weights of the UNet, and the UNet of {found} is quantised: nothing "
                             "can be added to its integers. Train on the float model and quantise after that.")
        left.append(_without_unet(step) if inside else step)
    return left[:len(below)], left[len(below):], found


def _changes_unet(step: StepFolder) -> bool:
    return "unet" in step.adapters or step.lora_file is not None or step.delta is not None


def _without_unet(step: StepFolder) -> StepFolder:
    """A step folder as it were without what changes the UNet's weights."""
    kept: dict[str, Any] = {"adapters": {name: path for name, path in step.adapters.items() if name != "unet"},
                            "lora_file": None, "delta": None}
    structure = step.info.get("structure")
    if isinstance(structure, dict):
        kept["info"] = {**step.info, "structure": {name: part for name, part in structure.items() if name != "unet"}}
    return replace(step, **kept)


def load_in_place_of(config: dict[str, Any], folder: Path, dtype: torch.dtype) -> nn.Module:
    """Loads a quantised UNet for a pipeline whose own UNet has another ``config``.

    Raises:
        ValueError: the pipeline is one of another kind; see also :func:`load_quantized`.
    """
    own = read_info(folder)["config"]
    for key in _INTERFACE:
        if own.get(key) != config.get(key):
            raise ValueError(f"{folder} does not fit this model: its UNet has {key} {own.get(key)!r}, the model's has "
                             f"{config.get(key)!r}. It was made of {read_info(folder)['source'].get('pretrained')!r}.")
    return load_quantized(folder, dtype)


def as_floats(source: str | Path, steps: Sequence[StepFolder]) -> tuple[nn.Module | None, list[StepFolder]]:
    """The quantised UNet among step folders, each trained on all before it, as floats to train on; or None.

    A pipeline that lies beside a quantised UNet has a float UNet of its own. The quantised one counts, as it does
    where pictures are made.

    Args:
        source: the pipeline beneath all.
        steps: the step folders.

    Returns:
        The UNet, and the step folders without what is in it already.
    """
    rest, _, folder = take_quantized(source, steps, [])
    if folder is None:
        return None, rest
    beside = "" if any(step.quantized == folder for step in steps) else ", not with the float UNet beside it"
    _log.warning(f"{folder} is a quantised UNet: the training begins with its dequantised weights{beside}, in float32, "
                 "and the inputs of its layers are quantised no more.")
    return dequantized(load_quantized(folder, torch.float32)), rest
