"""Pictures of a pipeline, or of its VAE, and the scores that metrics give them."""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from diffkit.models.generation import GenerationSettings, generate
from diffkit.models.reconstruct import reconstruct, to_pixels

Samples = list[dict[str, Any]]
#: Prints a line of progress.
Say = Callable[[str], None]

SETTINGS = GenerationSettings(num_inference_steps=25, guidance_scale=4.0)


def quiet(line: str) -> None:
    """Says nothing."""


def sample(
    pipe: Any,
    prompts: Any,
    settings: GenerationSettings = SETTINGS,
    batch_size: int = 16,
    say: Say = quiet,
) -> Samples:
    """Samples a picture for each item of a dataset of prompts.

    Args:
        pipe: a text-to-image pipeline.
        prompts: items have ``prompt`` and ``seed``, such as those of ``ShapesPrompts`` and ``ConceptPrompts``.
        settings: of the sampler.
        batch_size: pictures at once; it does not change them.
        say: called with a line now and then.

    Returns:
        The items, each with its ``image``, uint8 [H, W, 3].
    """
    samples: Samples = []
    started, told = time.monotonic(), time.monotonic()
    for first in range(0, len(prompts), batch_size):
        items = [prompts[i] for i in range(first, min(first + batch_size, len(prompts)))]
        images = generate(pipe, [i["prompt"] for i in items], [int(i["seed"]) for i in items], settings)
        samples += [{**item, "image": np.asarray(image)} for item, image in zip(items, images, strict=True)]
        if time.monotonic() - told > 20:
            told = time.monotonic()
            say(f"  {len(samples)} of {len(prompts)} pictures, {told - started:.0f} s")
    return samples


def through_vae(pipe: Any, pictures: Sequence[np.ndarray], batch_size: int = 32) -> list[np.ndarray]:
    """Pictures (uint8, of one size) after the pipeline's VAE."""
    return [
        after
        for first in range(0, len(pictures), batch_size)
        for after in reconstruct(pipe.vae, to_pixels(pictures[first : first + batch_size]))
    ]


def score(metric: Any, samples: Iterable[dict[str, Any]]) -> dict[str, float]:
    """What a metric of ``diffkit.evaluation`` says of samples; names are without the metric's prefix."""
    metric.process(None, list(samples))
    found: dict[str, float] = metric.compute_metrics(metric.results)
    metric.results.clear()
    return found
