"""The shape of an item: what its picture was, and the bucket that it is shown in; and tables of many of them."""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from diffkit.datasets.transforms import Size, cut_away


class ItemShape(NamedTuple):
    """Height and width of an item's picture.

    Attributes:
        original: before any transform.
        size: of the bucket, as the model sees it.
    """

    original: Size
    size: Size


def bucket_rows(shapes: Sequence[ItemShape]) -> list[tuple[str, str]]:
    """Lines for the table before a training: a name and a text each, one for each bucket.

    Args:
        shapes: of all items; of none there are no lines.
    """
    if not shapes:
        return []
    members: dict[Size, list[ItemShape]] = defaultdict(list)
    for shape in shapes:
        members[shape.size].append(shape)
    lost = sum(cut_away(*shape) for shape in shapes) / len(shapes)
    squares = sum(1 - min(shape.original) / max(shape.original) for shape in shapes) / len(shapes)
    rows = [("buckets", f"{len(members)}, height x width; {lost:.1%} of the pictures is cut away on average, "
                        f"by squares it would be {squares:.1%}")]
    for size, inside in sorted(members.items(), key=lambda item: (item[0][0] * item[0][1], item[0])):
        rows.append((f"  {size[0]}x{size[1]}", _line(inside)))
    return rows


def _line(inside: Sequence[ItemShape]) -> str:
    lost = [cut_away(*shape) for shape in inside]
    text = f"{len(inside)} picture{'' if len(inside) == 1 else 's'}, cut away {sum(lost) / len(lost):.1%}, " \
           f"at most {max(lost):.1%}"
    larger = [factor for shape in inside if (factor := _enlarged(shape)) > 1]
    return text + (f"; {len(larger)} enlarged, up to {max(larger):.2f} times" if larger else "")


def _enlarged(shape: ItemShape) -> float:
    return max(shape.size[0] / shape.original[0], shape.size[1] / shape.original[1])


def bucket_warnings(shapes: Sequence[ItemShape], batch_size: int) -> list[str]:
    """What to say about buckets that have fewer pictures than a batch."""
    counts: dict[Size, int] = defaultdict(int)
    for shape in shapes:
        counts[shape.size] += 1
    few = {size: count for size, count in counts.items() if count < batch_size}
    if not few:
        return []
    alone = sum(count == 1 for count in few.values())
    listed = ", ".join(f"{height}x{width} ({count})" for (height, width), count in sorted(few.items())[:8])
    some = f", {alone} of them with one alone" if alone else ""
    return [f"{len(few)} of {len(counts)} buckets have fewer pictures than a batch of {batch_size}{some}: {listed}"
            f"{', …' if len(few) > 8 else ''}. Their batches hold a picture several times. A larger "
            "train_dataloader.dataset.buckets.step or a smaller max_ratio makes fewer buckets"]
