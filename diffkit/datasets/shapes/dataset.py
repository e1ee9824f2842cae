"""The shapes world as a training set."""

import numpy as np
import torch
from torch.utils.data import Dataset

from diffkit.datasets.draw import Draw, as_draw
from diffkit.datasets.shapes import photos
from diffkit.datasets.shapes.captions import caption
from diffkit.datasets.shapes.scene import SPLITS, Scene, draw, random_scene
from diffkit.registry import DATASETS


def to_tensor(picture: np.ndarray) -> torch.Tensor:
    """uint8 ``[H, W, 3]`` to float32 ``[3, H, W]`` in [-1, 1]."""
    return torch.from_numpy(picture.transpose(2, 0, 1).astype(np.float32) / 127.5 - 1)


@DATASETS.register_module()
class ShapesDataset(Dataset):
    """Captioned pictures that are drawn when they are asked for.

    An item is chosen by an index or by a ``Draw``. The picture depends only on this dataset's settings and
    the index, so that its latents can be cached under ``key``; the caption's wording depends on the draw's
    seed too.

    Args:
        length: number of pictures.
        resolution: side of the pictures, in pixels.
        seed: another seed gives other pictures.
        split: ``"train"`` (no held-out (shape, colour) pair, no named concept), ``"heldout"`` or ``"all"``.
        textured: share of objects that have a pattern, 0..1.
        photo_fraction: share of items that are crops of photographs with the caption "a photo", 0..1.
        caption_dropout: probability of an empty caption, 0..1.
        keep_in_memory: keep each picture, as uint8, once it is drawn.
    """

    def __init__(
        self,
        length: int,
        resolution: int = 64,
        seed: int = 0,
        split: str = "train",
        textured: float = 0.35,
        photo_fraction: float = 0.0,
        caption_dropout: float = 0.0,
        keep_in_memory: bool = True,
    ) -> None:
        if length < 1:
            raise ValueError(f"length must be at least 1, got {length}")
        if resolution < 16:
            raise ValueError(f"resolution must be at least 16 pixels, got {resolution}")
        if seed < 0:
            raise ValueError(f"seed must not be negative, got {seed}")
        if split not in SPLITS:
            raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {split!r}")
        shares = {"textured": textured, "photo_fraction": photo_fraction, "caption_dropout": caption_dropout}
        for name, share in shares.items():
            if not 0 <= share <= 1:
                raise ValueError(f"{name} must be between 0 and 1, got {share}")
        if photo_fraction > 0:
            photos.photographs()  # fail now, not at the first photograph of an epoch
        self.length = length
        self.resolution = resolution
        self.seed = seed
        self.split = split
        self.textured = textured
        self.photo_fraction = photo_fraction
        self.caption_dropout = caption_dropout
        self._pictures: dict[int, np.ndarray] | None = {} if keep_in_memory else None

    def __len__(self) -> int:
        return self.length

    def _rng(self, index: int) -> np.random.Generator:
        """The source of what the picture ``index`` shows."""
        return np.random.default_rng([self.seed, SPLITS.index(self.split), index])

    def is_photo(self, index: int) -> bool:
        """Whether the item is a crop of a photograph."""
        return bool(self._rng(index).random() < self.photo_fraction)

    def scene(self, index: int) -> Scene | None:
        """What the picture ``index`` shows; None for a photograph."""
        rng = self._rng(index)
        if rng.random() < self.photo_fraction:
            return None
        return random_scene(rng, self.split, self.textured)

    def picture(self, index: int) -> np.ndarray:
        """The picture as uint8 ``[resolution, resolution, 3]``."""
        if self._pictures is not None and index in self._pictures:
            return self._pictures[index]
        rng = self._rng(index)
        if rng.random() < self.photo_fraction:
            picture = photos.random_crop(rng, self.resolution)
        else:
            picture = draw(random_scene(rng, self.split, self.textured), self.resolution)
        if self._pictures is not None:
            self._pictures[index] = picture
        return picture

    def prompt(self, index: int, seed: int = 0) -> str:
        """A caption of the picture ``index``; ``seed`` decides its wording and whether it is left empty."""
        rng = np.random.default_rng([self.seed, index, seed])
        if rng.random() < self.caption_dropout:
            return ""
        scene = self.scene(index)
        return photos.CAPTION if scene is None else caption(scene, rng)

    def key(self, index: int) -> str:
        """A name of the picture: equal keys, in this dataset or another of its kind, are equal pictures."""
        kind = f"{self.split}-t{self.textured:g}-p{self.photo_fraction:g}"
        return f"shapes-{self.seed}-{kind}-{self.resolution}-{index}"

    def __getitem__(self, item: int | Draw) -> dict[str, object]:
        """``pixel_values`` (float32 ``[3, H, W]`` in [-1, 1]), ``prompt`` and ``key`` of an item."""
        index, seed = as_draw(item)
        if not 0 <= index < self.length:
            raise IndexError(f"index must be between 0 and {self.length - 1}, got {index}")
        return {
            "pixel_values": to_tensor(self.picture(index)),
            "prompt": self.prompt(index, seed),
            "key": self.key(index),
        }
