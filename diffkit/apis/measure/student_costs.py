"""What a teacher and its students cost to run: weights, multiplications, and time side by side."""

import time
from collections.abc import Mapping
from statistics import median
from typing import Any

import torch

from diffkit.apis.load_pipeline import load_pipeline
from diffkit.apis.measure.pictures import SETTINGS
from diffkit.apis.measure.student_exam import untrained_pipeline
from diffkit.evaluation import count_parameters, unet_macs
from diffkit.models.generation import generate

PROMPT = "a photo of a large red circle on a blue background"


def costs_of(teacher: str, students: Mapping[str, Any], pictures: int = 4, repeats: int = 7) -> dict[str, Any]:
    """Costs of a teacher and of students that were not trained, which cost as much as trained ones.

    Time is of the processor, on one thread, for some whole pictures at once. The models take turns in one process, so
    that what else the machine does hits them alike; a ratio is the median over the turns.

    Args:
        teacher: what it is loaded from.
        students: configs that cut it, by name.
        pictures: at once.
        repeats: turns.

    Returns:
        By name, ``teacher`` first: ``parameters`` and ``macs``, ``macs_with_attention`` of a UNet call for one picture;
        ``seconds`` (median) and ``ratio`` to the teacher with the least and the most of it.
    """
    pipes = {"teacher": load_pipeline(teacher), **{name: untrained_pipeline(cfg) for name, cfg in students.items()}}
    seconds = _take_turns(pipes, pictures, repeats)
    found = {}
    for name, pipe in pipes.items():
        macs = unet_macs(pipe.unet.config, tokens=pipe.tokenizer.model_max_length)
        ratios = [own / base for own, base in zip(seconds[name], seconds["teacher"], strict=True)]
        found[name] = {"parameters": count_parameters(pipe.unet), "macs": macs.layers,
                       "macs_with_attention": macs.total, "seconds": median(seconds[name]), "ratio": median(ratios),
                       "ratio_least": min(ratios), "ratio_most": max(ratios), "pictures": pictures, "turns": repeats}
    return found


def _take_turns(pipes: Mapping[str, Any], pictures: int, repeats: int) -> dict[str, list[float]]:
    """Processor seconds of each pipeline in each turn."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    spent: dict[str, list[float]] = {name: [] for name in pipes}
    try:
        for turn in range(-1, repeats):  # the first one warms up
            for name, pipe in pipes.items():
                began = time.process_time()
                generate(pipe, [PROMPT] * pictures, list(range(pictures)),
                         SETTINGS if turn >= 0 else SETTINGS.updated(num_inference_steps=2))
                if turn >= 0:
                    spent[name].append(time.process_time() - began)
    finally:
        torch.set_num_threads(threads)
    return spent
