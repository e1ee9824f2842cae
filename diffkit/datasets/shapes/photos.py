"""Crops of real photographs, so that a VAE of the shapes world also sees what code does not draw.

The photographs come with the package scikit-image. All of them are free of rights: astronaut (NASA, public
domain), chelsea and coffee (CC0 by their photographers), rocket (SpaceX, public domain).
"""

from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

FILES = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg")
CAPTION = "a photo"
#: The smallest crop, in pixels of the photograph. Smaller ones are only blur.
MIN_CROP = 64


@cache
def photographs() -> tuple[Image.Image, ...]:
    """The photographs, as RGB. Reads files of the installed scikit-image; downloads nothing."""
    try:
        import skimage
    except ImportError as error:
        raise ImportError(
            "photo_fraction above 0 needs photographs that come with scikit-image: pip install scikit-image"
        ) from error
    folder = Path(skimage.__file__).parent / "data"
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise FileNotFoundError(
            f"scikit-image in {folder} lacks {', '.join(missing)}; the wheel of 0.26.0 contains them"
        )
    return tuple(Image.open(folder / name).convert("RGB") for name in FILES)


def random_crop(rng: np.random.Generator, resolution: int = 64) -> np.ndarray:
    """A random square of a random photograph: uint8 ``[resolution, resolution, 3]``.

    Its side is between 64 pixels (or ``resolution``, where that is more) and the whole photograph's shorter
    side; small squares are as likely as large ones on a logarithmic scale. It is reduced by area averaging,
    flipped half of the time, and its colours are scaled a little.
    """
    photographs_ = photographs()
    photo = photographs_[int(rng.integers(len(photographs_)))]
    longest = min(photo.size)
    shortest = min(max(MIN_CROP, resolution), longest)
    side = round(shortest * (longest / shortest) ** rng.random())
    left = int(rng.integers(photo.width - side + 1))
    top = int(rng.integers(photo.height - side + 1))
    box = (left, top, left + side, top + side)
    method = Image.Resampling.BOX if side >= resolution else Image.Resampling.BICUBIC
    picture = np.asarray(photo.resize((resolution, resolution), method, box=box), dtype=np.float32)
    if rng.random() < 0.5:
        picture = picture[:, ::-1]
    gain = rng.uniform(0.85, 1.15) * rng.uniform(0.94, 1.06, size=3)
    return np.round(np.clip(picture * gain, 0, 255)).astype(np.uint8)
