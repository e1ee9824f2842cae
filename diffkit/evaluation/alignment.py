"""How well pictures fit their prompts and their subject, by the vectors of CLIP and DINO."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric

from diffkit.datasets.image_file import SUFFIXES, open_image
from diffkit.evaluation.encoders import get_encoder
from diffkit.evaluation.shares import mean_and_error, require
from diffkit.registry import METRICS


@METRICS.register_module()
class CLIPTextSimilarity(BaseMetric):
    """CLIP-T: the cosine between a picture and its text; and CLIPScore, which is ``2.5 max(cos, 0)`` of it.

    ``process`` takes samples with ``image`` and the text. The result has ``clip_t`` and ``clip_score``, means over the
    pictures, each with its standard error (``..._se``) and number (``..._n``). CLIPScore is that of Hessel et al.
    (2021), without the words "A photo depicts" before the text, as CustomConcept101 computes it.

    Args:
        weights: a folder, or a model of the hub; None is ``openai/clip-vit-base-patch32``.
        field: which value of a sample is the text. DreamBooth and CustomConcept101 leave the placeholder out:
            their prompt sets have ``caption`` for it.
        device: None takes a GPU where there is one.
        allow_pickle: also read ``.bin`` weights.
        collect_device: as for every metric of MMEngine.
        prefix: as for every metric of MMEngine.
    """

    default_prefix = "alignment"

    def __init__(self, weights: str | None = None, field: str = "prompt", device: str | None = None,
                 allow_pickle: bool = False, collect_device: str = "cpu", prefix: str | None = None) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.encoder = get_encoder("clip", weights, device, allow_pickle)
        self.field = field

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Compare each picture with its text. ``data_batch`` is not used."""
        for sample in data_samples:
            require(sample, "image", self.field)
        if data_samples:
            images = self.encoder.images([sample["image"] for sample in data_samples])
            texts = self.encoder.texts([sample[self.field] for sample in data_samples])
            self.results += (images * texts).sum(1).tolist()

    def compute_metrics(self, results: list[float]) -> dict[str, float]:
        """Average over the pictures; see the class."""
        if not results:
            return {}
        return (mean_and_error("clip_t", results)
                | mean_and_error("clip_score", [2.5 * max(value, 0.0) for value in results]))


class _SubjectSimilarity(BaseMetric):
    """The mean cosine between a picture and each real picture of its subject."""

    default_prefix = "alignment"
    encoder_kind = figure = ""

    def __init__(self, references: str, weights: str | None = None, device: str | None = None,
                 allow_pickle: bool = False, collect_device: str = "cpu", prefix: str | None = None) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.root = Path(references).expanduser()
        if not self.root.is_dir():
            raise ValueError(f"references={references!r} is no folder of real pictures")
        self.encoder = get_encoder(self.encoder_kind, weights, device, allow_pickle)
        self._known: dict[str, np.ndarray] = {}

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Compare each picture with those of its subject. ``data_batch`` is not used."""
        for sample in data_samples:
            require(sample, "image")
        if not data_samples:
            return
        vectors = self.encoder.images([sample["image"] for sample in data_samples])
        for sample, vector in zip(data_samples, vectors, strict=True):
            self.results.append(float((self._subject(sample) @ vector).mean()))

    def compute_metrics(self, results: list[float]) -> dict[str, float]:
        """Average over the pictures; see the class."""
        return mean_and_error(self.figure, results) if results else {}

    def _subject(self, sample: Mapping[str, Any]) -> np.ndarray:
        name = str(sample.get("subject", ""))
        if name not in self._known:
            self._known[name] = self.encoder.images([open_image(path) for path in subject_files(self.root, name)])
        return self._known[name]


@METRICS.register_module()
class CLIPImageSimilarity(_SubjectSimilarity):
    """CLIP-I: the mean cosine between the CLIP vectors of a picture and of each real picture of its subject.

    ``process`` takes samples with ``image``, and with ``subject`` where ``references`` has a folder for each. The
    result has ``clip_i`` with its standard error and number, of the pictures that were made.

    Args:
        references: the folder of the real pictures, or of one folder for each subject.
        weights: a folder, or a model of the hub; None is ``openai/clip-vit-base-patch32``.
        device: None takes a GPU where there is one.
        allow_pickle: also read ``.bin`` weights.
        collect_device: as for every metric of MMEngine.
        prefix: as for every metric of MMEngine.
    """

    encoder_kind, figure = "clip", "clip_i"


@METRICS.register_module()
class DINOImageSimilarity(_SubjectSimilarity):
    """DINO-I: the same as :class:`CLIPImageSimilarity`, by DINO; the result has ``dino_i``.

    Args:
        references: the folder of the real pictures, or of one folder for each subject.
        weights: a folder, or a model of the hub; None is ``facebook/dino-vits16``.
        device: None takes a GPU where there is one.
        allow_pickle: also read ``.bin`` weights.
        collect_device: as for every metric of MMEngine.
        prefix: as for every metric of MMEngine.
    """

    encoder_kind, figure = "dino", "dino_i"


def subject_files(root: Path, subject: str) -> list[Path]:
    """The pictures of a subject: those of its folder in ``root``, or of ``root`` itself without a subject.

    Raises:
        ValueError: there is none, or the subject is no plain name.
    """
    if subject in (".", "..") or "/" in subject or "\\" in subject:
        raise ValueError(f"subject {subject!r} is not the name of a folder in {str(root)!r}")
    folder = root / subject
    files = sorted(path for path in folder.glob("*") if path.suffix.lower() in SUFFIXES) if folder.is_dir() else []
    if not files:
        raise ValueError(f"references: {str(folder)!r} holds no pictures")
    return files
