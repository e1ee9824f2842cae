"""Several datasets measured in one run, and told apart."""

from collections.abc import Mapping
from typing import Any

from torch.utils.data import Dataset

from diffkit.registry import DATASETS


@DATASETS.register_module()
class NamedGroups(Dataset):
    """Datasets one after the other; each item says in ``group`` which one it comes from.

    Metrics such as ``PromptAccuracy`` then report each group for itself.

    Args:
        groups: name -> a config of DATASETS, or a dataset. Their items are dicts.
    """

    metainfo: dict[str, Any] = {}

    def __init__(self, groups: Mapping[str, dict | Dataset]) -> None:
        if not groups:
            raise ValueError("groups is empty: name at least one dataset")
        self.groups: dict[str, Any] = {
            name: DATASETS.build(dataset) if isinstance(dataset, dict) else dataset
            for name, dataset in groups.items()
        }
        self._places = [(name, i) for name, dataset in self.groups.items() for i in range(len(dataset))]

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not 0 <= index < len(self):
            raise IndexError(f"index must be between 0 and {len(self) - 1}, got {index}")
        name, place = self._places[index]
        return {**self.groups[name][place], "group": name}
