"""Several concepts in one training, each with its own pictures, prior pictures and words."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch.utils.data import Dataset

from diffkit.datasets.concept import ConceptDataset
from diffkit.datasets.draw import Draw, as_draw
from diffkit.datasets.item_shape import ItemShape
from diffkit.datasets.pictures import DRAWN
from diffkit.datasets.transforms import AspectBuckets
from diffkit.registry import DATASETS

#: What a concept is called in the ``concepts_list`` of other programs -> what it is called here.
OTHER_NAMES = {"instance_data_dir": "data_root", "class_data_dir": "class_data_root"}
_OWN = ("data_root", "instance_prompt", "class_prompt", "class_data_root", "num_class_images", "placeholder",
        "learnable_property", "template_file", "captions", "caption_column", "num_images", "repeats")


@DATASETS.register_module()
class ConceptListDataset(Dataset):
    """The items of several :class:`ConceptDataset`, one after the other: an epoch shows every picture of each.

    A concept counts as much as it has pictures; its ``repeats`` weighs it otherwise. Prior pictures that are to be
    generated lie in a folder of their own for each concept.

    Args:
        concepts: for each concept the arguments of ``ConceptDataset`` that are its own: ``data_root``,
            ``instance_prompt``, ``placeholder``, ``class_prompt``, ``class_data_root`` … Or a JSON file with such a
            list; the names ``instance_data_dir`` and ``class_data_dir`` of other programs are understood.
        data_root: the folder that relative folders of the concepts lie in; None is where the program was started.
        num_class_images: prior pictures of each concept that does not say otherwise.
        resolution: see ``ConceptDataset``, as for all that follow.
        center_crop: see there.
        hflip: see there.
        size_augment: see there.
        buckets: see there.
        caption_dropout: see there.
        prior_caption_dropout: see there.
        bad_images: see there.
        keep_in_memory: see there.
        seed: see there.
    """

    metainfo: dict[str, Any] = {}

    def __init__(
        self,
        concepts: Sequence[dict[str, Any]] | str | Path,
        data_root: str | Path | None = None,
        num_class_images: int = 0,
        resolution: int | Sequence[int] = 512,
        center_crop: bool = True,
        hflip: float = 0.0,
        size_augment: bool = False,
        buckets: AspectBuckets | dict[str, Any] | None = None,
        caption_dropout: float = 0.0,
        prior_caption_dropout: float = 0.0,
        bad_images: str = "stop",
        keep_in_memory: bool = True,
        seed: int = 0,
    ) -> None:
        listed = read_concepts(concepts) if isinstance(concepts, str | Path) else list(concepts)
        if not listed:
            raise ValueError("concepts is empty: name at least one, as dict(data_root=…, instance_prompt=…)")
        common: dict[str, Any] = {
            "resolution": resolution, "center_crop": center_crop, "hflip": hflip, "size_augment": size_augment,
            "buckets": buckets, "caption_dropout": caption_dropout, "prior_caption_dropout": prior_caption_dropout,
            "bad_images": bad_images, "keep_in_memory": keep_in_memory, "seed": seed}
        self.datasets: list[ConceptDataset] = []
        for number, concept in enumerate(listed):
            own = _checked(concept, number)
            if num_class_images and (own.get("class_prompt") or own.get("class_data_root")):
                own.setdefault("num_class_images", num_class_images)
            for key in ("data_root", "class_data_root"):
                if own.get(key) is not None:
                    own[key] = _below(data_root, own[key])
            try:
                self.datasets.append(ConceptDataset(**common | own))
            except ValueError as error:
                raise ValueError(f"concepts[{number}]: {error}") from error
        self._places = [(which, i) for which, dataset in enumerate(self.datasets) for i in range(len(dataset))]

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, item: int | Draw) -> dict[str, Any] | list[dict[str, Any]]:
        index, seed = as_draw(item)
        if not 0 <= index < len(self):
            raise IndexError(f"index must be between 0 and {len(self) - 1}, got {index}")
        which, place = self._places[index]
        return self.datasets[which][Draw(place, seed)]

    @property
    def has_prior(self) -> bool:
        """Whether items of a concept come with a prior picture."""
        return any(dataset.has_prior for dataset in self.datasets)

    def summary(self) -> str:
        """What was found, for the table before a training."""
        return "; ".join(f"concept {i}: {dataset.summary()}" for i, dataset in enumerate(self.datasets))

    def texts(self) -> list[str]:
        """Every prompt that a picture of a concept may come with."""
        return sorted({text for dataset in self.datasets for text in dataset.texts()})

    def item_shapes(self) -> list[ItemShape]:
        """With buckets, the shape of each item's instance; none without."""
        return [shape for dataset in self.datasets for shape in dataset.item_shapes()]

    def picture_size(self) -> tuple[int, int]:
        """Height and width of the pictures that the model sees, in pixels."""
        return self.datasets[0].picture_size()

    def name_at(self, index: int) -> str:
        """The picture of an item, to name it in a message."""
        which, place = self._places[index % len(self)]
        return f"{self.datasets[which].name_at(place)} of concept {which}"

    def name_of(self, key: str) -> str | None:
        """The picture that a sample's ``key`` stands for, to name it in a message."""
        return next((name for dataset in self.datasets if (name := dataset.name_of(key))), None)


def read_concepts(file: str | Path) -> list[dict[str, Any]]:
    """Reads a list of concepts: a JSON file as the ``concepts_list`` of other programs.

    Raises:
        ValueError: it cannot be read, or is no list of objects.
    """
    path = Path(file).expanduser()
    try:
        listed = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"concepts={str(file)!r} cannot be read: {error}") from None
    if not isinstance(listed, list) or not all(isinstance(concept, dict) for concept in listed):
        raise ValueError(f"concepts={str(file)!r} must be a list of objects, each with a data_root")
    return listed


def _checked(concept: dict[str, Any], number: int) -> dict[str, Any]:
    """The arguments of a concept under the names of ``ConceptDataset``."""
    if not isinstance(concept, dict):
        raise TypeError(f"concepts[{number}] must be a dict, got {concept!r}")
    own = {OTHER_NAMES.get(key, key): value for key, value in concept.items()}
    unknown = sorted(own.keys() - set(_OWN))
    if unknown or "data_root" not in own:
        what = f"has unknown keys {', '.join(unknown)}" if unknown else "has no data_root"
        raise ValueError(f"concepts[{number}] {what}; a concept takes {', '.join(_OWN)}")
    return own


def _below(root: str | Path | None, folder: str | Path) -> str | Path:
    if root is None or str(folder).startswith(DRAWN):
        return folder
    return Path(root).expanduser() / folder
