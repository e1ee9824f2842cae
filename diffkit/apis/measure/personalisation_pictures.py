"""The pictures of the personalisation methods: what each of them paints of its concepts."""

from collections.abc import Mapping
from pathlib import Path

from PIL import Image

from diffkit.apis.measure.pictures import Samples
from diffkit.utils.images import picture_grid, save_png


def method_sheet(path: Path, painted: Mapping[str, Samples], columns: int = 8) -> Path:
    """Saves a picture with a row for each concept of each method; a column is one background.

    Args:
        path: the PNG file.
        painted: what each method paints, by the words below its pictures; see
            :meth:`~diffkit.apis.measure.exam.Exam.show`.
        columns: how many backgrounds.

    Raises:
        ValueError: a method has no ``columns`` pictures of a concept.
    """
    images, captions = [], []
    for label, samples in painted.items():
        for concept in dict.fromkeys(each["concept"] for each in samples):
            row = [each for each in samples if each["concept"] == concept][:columns]
            if len(row) < columns:
                raise ValueError(f"{label}: {len(row)} pictures of {concept}, {columns} are asked for")
            images += [Image.fromarray(each["image"]) for each in row]
            captions += [label, *("" if each["seen"] else "new background" for each in row[1:])]
    return save_png(picture_grid(images, captions, columns, tile=96), path, {"rows": list(painted)})
