"""How near pictures are to real ones as a set, and how sharp and varied they are: FID, KID and the inception score."""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from mmengine.evaluator import BaseMetric

from diffkit.datasets.image_file import SUFFIXES, open_image
from diffkit.evaluation.distributions import frechet_distance, inception_scores, kernel_distances, moments
from diffkit.evaluation.inception import Inception
from diffkit.evaluation.shares import require
from diffkit.registry import METRICS

#: Of a picture, by the Inception network.
FEATURES = 2048
get_inception = functools.lru_cache(maxsize=2)(Inception)


@METRICS.register_module()
class InceptionQuality(BaseMetric):
    """FID, KID and the inception score, from one run of the Inception network.

    ``process`` takes samples with ``image``. The result has

    * ``fid`` (Heusel et al. 2017) to the real pictures, with its number ``fid_n``: FIDs of other numbers cannot be
      compared, they fall with it;
    * ``kid`` (Bińkowski et al. 2018), the mean over random subsets, and ``kid_std``, the deviation between them, where
      ``real`` is a folder;
    * ``inception_score`` (Salimans et al. 2016), the mean over parts, and ``inception_score_std``.

    Args:
        weights: the file of the network, see :class:`~diffkit.evaluation.inception.Inception`.
        real: a folder of real pictures; or their statistics, an ``.npz`` with ``mu`` and ``sigma`` as pytorch-fid
            writes it. None computes the inception score alone.
        preprocessing: ``pytorch-fid`` or ``torch-fidelity``.
        subsets: of KID.
        subset_size: of KID, at most the number of pictures on either side.
        splits: of the inception score.
        device: None takes a GPU where there is one.
        allow_pickle: also read a ``.pth`` file of weights: tensors alone, no code.
        collect_device: as for every metric of MMEngine.
        prefix: as for every metric of MMEngine.
    """

    default_prefix = "quality"

    def __init__(self, weights: str, real: str | None = None, preprocessing: str = "pytorch-fid", subsets: int = 100,
                 subset_size: int = 1000, splits: int = 10, device: str | None = None, allow_pickle: bool = False,
                 collect_device: str = "cpu", prefix: str | None = None) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        for name, value in (("subsets", subsets), ("splits", splits)):
            if value < 1:
                raise ValueError(f"{name} must be 1 or more, got {value}")
        self.real = None if real is None else _found(real, subset_size)
        self.inception = get_inception(weights, preprocessing, device, allow_pickle)
        self.subsets, self.subset_size, self.splits = subsets, subset_size, splits

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Take features of the pictures. ``data_batch`` is not used."""
        for sample in data_samples:
            require(sample, "image")
        if data_samples:
            self.results += list(zip(*self.inception([sample["image"] for sample in data_samples]), strict=True))

    def compute_metrics(self, results: list[tuple[np.ndarray, np.ndarray]]) -> dict[str, float]:
        """Compare the sets; see the class."""
        if not results:
            return {}
        features, logits = (np.stack(column) for column in zip(*results, strict=True))
        scores = inception_scores(logits, self.splits)
        found = {"inception_score": float(scores.mean()), "inception_score_std": float(scores.std()),
                 "inception_score_n": len(features)}
        return found if self.real is None else {**self._to_real(features), **found}

    def _to_real(self, features: np.ndarray) -> dict[str, float]:
        path = self.real
        if path is None:
            return {}
        if path.suffix == ".npz":
            return {"fid": frechet_distance(*moments(features), *_statistics(path)), "fid_n": len(features)}
        real = self._real_features(path)
        distances = kernel_distances(real, features, self.subsets, self.subset_size)
        return {"fid": frechet_distance(*moments(features), *moments(real)), "fid_n": len(features),
                "kid": float(distances.mean()), "kid_std": float(distances.std())}

    def _real_features(self, folder: Path) -> np.ndarray:
        files = picture_files(folder)
        parts = [self.inception([open_image(path) for path in files[i:i + 64]])[0] for i in range(0, len(files), 64)]
        return np.concatenate(parts)


def picture_files(folder: Path) -> list[Path]:
    """The pictures directly in a folder."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)


def _found(real: str, subset_size: int) -> Path:
    """The path of the real pictures; what would fail after all pictures are made fails here."""
    path = Path(real).expanduser()
    if path.is_dir():
        count = len(picture_files(path))
        if count < 2:
            raise ValueError(f"real={real!r} holds fewer than two pictures")
        if count < subset_size:
            raise ValueError(f"real={real!r} holds {count} pictures, and subset_size is {subset_size}: it can be "
                             f"{count} at most")
        return path
    if path.is_file() and path.suffix == ".npz":
        _statistics(path)
        return path
    raise ValueError(f"real={real!r} is neither a folder of real pictures nor an .npz file with their mu and sigma "
                     "(python -m pytorch_fid --save-stats FOLDER FILE.npz writes one)")


def _statistics(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance that pytorch-fid wrote.

    Raises:
        ValueError: the file cannot be read, or holds something else.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            found = {name: file[name] for name in file.files if name in ("mu", "sigma")}
    except (OSError, ValueError, AttributeError, BadZipFile) as error:
        raise ValueError(f"real={str(path)!r} cannot be read: {str(error).splitlines()[0]}") from error
    for name, shape in (("mu", (FEATURES,)), ("sigma", (FEATURES, FEATURES))):
        if name not in found or found[name].shape != shape:
            raise ValueError(f"real={str(path)!r} has no {name!r} of {list(shape)} numbers")
    return found["mu"], found["sigma"]
