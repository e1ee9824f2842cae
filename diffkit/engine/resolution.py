"""Whether the pictures of a training have the size that its model was made for."""

from collections.abc import Iterator, Mapping
from typing import Any

from diffkit.utils.native_size import size_warning


def resolution_warnings(runner: Any) -> list[str]:
    """Returns a line for each size of training pictures that is not the model's own."""
    native = getattr(runner.bare_model, "native_resolution", None)
    if native is None:
        return []
    place = "train_dataloader.dataset"
    config = (runner.cfg.get("train_dataloader") or {}).get("dataset") or {}
    key = f"{place}.{'transforms' if config.get('transforms') else 'resolution'}" if config else place
    pretrained = runner.bare_model.pretrained
    source = "model.family.scratch" if pretrained is None else f"model.pretrained={str(pretrained)!r}"
    sizes = {size for dataset in _innermost(runner.train_dataloader.dataset) if (size := picture_size(dataset))}
    return [
        f"{key}: {size_warning(size, native, source)}" for size in sorted(sizes - {native})
    ]


def picture_size(dataset: Any) -> tuple[int, int] | None:
    """Returns height and width of a dataset's pictures as the model sees them; None where that cannot be told.

    A dataset may have a method ``picture_size``; else its first item is looked at.
    """
    own = getattr(dataset, "picture_size", None)
    if callable(own):
        height, width = own()
        return height, width
    if not hasattr(dataset, "__getitem__"):
        return None
    item = dataset[0]
    sample = item[0] if isinstance(item, list | tuple) and item else item
    if not isinstance(sample, Mapping) or "pixel_values" not in sample:
        return None
    height, width = sample["pixel_values"].shape[-2:]
    return int(height), int(width)


def _innermost(dataset: Any) -> Iterator[Any]:
    """The datasets inside concatenations and wrappers."""
    inner = getattr(dataset, "datasets", None) or [part for part in [getattr(dataset, "dataset", None)] if part]
    for part in inner:
        yield from _innermost(part)
    if not inner:
        yield dataset
