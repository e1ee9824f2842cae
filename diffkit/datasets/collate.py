"""From the samples of a dataset to the batch that a model takes."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from diffkit.registry import FUNCTIONS

Sample = Mapping[str, Any]


@FUNCTIONS.register_module()
def collate_samples(samples: Sequence[Sample | Sequence[Sample]]) -> dict[str, Any]:
    """Stacks samples into one batch; what comes with a sample (its prior picture) joins the same batch.

    Args:
        samples: each a dict, or a list of dicts such as [instance, prior]. A dict holds ``pixel_values``
            (float [3, H, W] in [-1, 1]) and ``prompt`` (str); it may hold ``key`` (None), ``is_prior``
            (False), ``original_size`` (its own H, W) and ``crop_top_left`` (0, 0): in brackets what is filled
            in. Where one has ``content_box`` (top, left, height, width), so gets each other (the whole picture).
            Anything else must be in every sample: tensors and numbers are stacked, the rest is listed.
            Samples for evaluation may all be without ``pixel_values``; nothing is filled in then.

    Returns:
        ``pixel_values`` float32 [B, 3, H, W], ``prompt`` and ``key`` lists, ``is_prior`` bool [B],
        ``original_size`` long [B, 2] as (height, width), ``crop_top_left`` long [B, 2] as (y, x), perhaps
        ``content_box`` long [B, 4]. Instances come before priors.
    """
    flat = _flatten(samples)
    batch = _pictures(flat) if any("pixel_values" in sample for sample in flat) else {}
    for name in dict.fromkeys(name for sample in flat for name in sample):
        if name not in batch:
            batch[name] = _gather(name, flat)
    return batch


def _pictures(flat: list[Sample]) -> dict[str, Any]:
    """What every batch of pictures has; see ``collate_samples``."""
    boxes = [_box(sample) for sample in flat] if any("content_box" in sample for sample in flat) else None
    return {
        **({} if boxes is None else {"content_box": torch.tensor(boxes, dtype=torch.long)}),
        "pixel_values": _stack_pixels(flat),
        "prompt": [sample["prompt"] for sample in flat],
        "key": [sample.get("key") for sample in flat],
        "is_prior": torch.tensor([bool(sample.get("is_prior", False)) for sample in flat]),
        "original_size": torch.tensor([_original_size(sample) for sample in flat], dtype=torch.long),
        "crop_top_left": torch.tensor(
            [tuple(sample.get("crop_top_left", (0, 0))) for sample in flat], dtype=torch.long
        ),
    }


def _flatten(samples: Sequence[Sample | Sequence[Sample]]) -> list[Sample]:
    flat: list[Sample] = []
    for item in samples:
        flat.extend([item] if isinstance(item, Mapping) else item)
    if not flat:
        raise ValueError("samples is empty: a batch needs at least one")
    return sorted(flat, key=lambda sample: bool(sample.get("is_prior", False)))


def _stack_pixels(flat: list[Sample]) -> Tensor:
    missing = sum("pixel_values" not in sample for sample in flat)
    if missing:
        raise ValueError(f"'pixel_values' is missing in {missing} of {len(flat)} samples of a batch")
    shapes = {tuple(sample["pixel_values"].shape) for sample in flat}
    if len(shapes) > 1:
        raise ValueError(
            f"pixel_values of one batch must have one shape, given {sorted(shapes)}: "
            "let the transforms end with a crop to one size, or with buckets take sampler=dict(type=BucketSampler)"
        )
    return torch.stack([sample["pixel_values"].float() for sample in flat])


def _original_size(sample: Sample) -> tuple[int, ...]:
    return tuple(sample.get("original_size", sample["pixel_values"].shape[-2:]))


def _box(sample: Sample) -> tuple[int, ...]:
    height, width = sample["pixel_values"].shape[-2:]
    return tuple(map(int, sample.get("content_box", (0, 0, height, width))))


def _gather(name: str, flat: list[Sample]) -> Any:
    missing = sum(name not in sample for sample in flat)
    if missing:
        raise ValueError(f"{name!r} is missing in {missing} of {len(flat)} samples of a batch")
    values = [sample[name] for sample in flat]
    if isinstance(values[0], Tensor):
        return torch.stack(values)
    return torch.tensor(values) if isinstance(values[0], bool | int | float) else values
