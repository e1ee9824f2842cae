"""The picture of the distillation measurement: teacher and students from the same noise."""

from collections.abc import Mapping
from pathlib import Path

from PIL import Image

from diffkit.apis.load_pipeline import load_pipeline
from diffkit.apis.measure.pictures import SETTINGS, sample
from diffkit.datasets import ShapesPrompts
from diffkit.utils.images import picture_grid, save_png

_PROMPT_SEED = 5


def contact_sheet(path: Path, teacher: str, students: Mapping[str, str | Path], columns: int = 6) -> Path:
    """Saves a picture with a row for the teacher and one for each student; a column is one prompt and one noise.

    Args:
        path: the PNG file.
        teacher: what it is loaded from.
        students: what they are loaded from, by the name that is written below their pictures.
        columns: how many prompts, half of them with patterns.
    """
    prompts = ShapesPrompts(columns, _PROMPT_SEED, "train", "mixed")
    images, captions = [], []
    for name, source in {"teacher": teacher, **students}.items():
        painted = sample(load_pipeline(source), prompts, SETTINGS)
        images += [Image.fromarray(each["image"]) for each in painted]
        captions += [each["prompt"] if name == "teacher" else name for each in painted]
    return save_png(picture_grid(images, captions, columns, tile=128), path,
                    {"prompts": [prompts[i]["prompt"] for i in range(columns)], "rows": ["teacher", *students]})
