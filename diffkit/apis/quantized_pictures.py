"""Pictures of a quantised model beside those of its float model, and whether it is the one that was saved."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from diffkit.apis.load_pipeline import load_pipeline
from diffkit.utils.images import picture_grid
from diffkit.utils.step_folder import StepFolder, read_step_folder

Name = str | Path


def quantized_among(pretrained: Name | None, steps: Sequence[Name]) -> StepFolder:
    """The step folder with a quantised UNet.

    Raises:
        ValueError: there is none.
    """
    for name in [*steps, *([] if pretrained is None else [pretrained])]:
        step = read_step_folder(name) if Path(name).is_dir() else None
        if step is not None and step.quantized is not None:
            return step
    raise ValueError("no step folder with a quantised UNet was given: there is nothing to compare.")


def pairs_with_float(images: Sequence[Any], pretrained: Name | None, steps: Sequence[Name],
                     wanted: Sequence[tuple[str, int]], settings: Any, batch_size: int, **loading: Any) -> list[Any]:
    """Puts the float model's picture to the left of each of some pictures.

    Args:
        images: of the quantised model.
        pretrained: what that was loaded from.
        steps: what it was loaded from.
        wanted: prompt and seed of each picture.
        settings: of sampling.
        batch_size: pictures at once.
        loading: of :func:`load_pipeline`.

    Raises:
        ValueError: nothing is quantised, or the step folder does not say what it was made of.
    """
    from diffkit.models.generation import generate

    quantized = quantized_among(pretrained, steps)
    if quantized.base is None:
        raise ValueError(f"{quantized.path} does not say which float model it was made of.")
    others = [step for step in steps if Path(step).resolve() != quantized.path.resolve()]
    given = pretrained if pretrained is not None and Path(pretrained).resolve() != quantized.path.resolve() else None
    pipe = load_pipeline(quantized.base if given is None else given, others, **loading)
    floats: list[Any] = []
    for start in range(0, len(wanted), batch_size):
        some, seeds = zip(*wanted[start:start + batch_size], strict=True)
        floats += generate(pipe, some, seeds, settings)
    return [picture_grid([left, right], ["float", "quantised"], 2) for left, right in zip(floats, images, strict=True)]


def verify_quantized(pretrained: Name | None, steps: Sequence[Name], **loading: Any) -> str:
    """Compares the quantised UNet of a step folder with the one that was saved; says what was compared.

    Raises:
        ValueError: it differs, or there is nothing to compare it with.
    """
    from diffkit.models.quantizers.verify import verify_loading

    step = quantized_among(pretrained, steps)
    pipe = load_pipeline(pretrained, steps, dtype="float32", kernels="dequantized", **loading)
    if step.quantized is None:
        raise ValueError(f"{step.path} holds no quantised UNet.")
    line = verify_loading(step.quantized, pipe)
    print(line, file=sys.stderr)
    return line
