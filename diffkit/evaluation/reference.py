"""How near pictures stay to those of another model from the same noise, and how varied those of one prompt are."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric

from diffkit.datasets.image_file import open_image
from diffkit.evaluation.encoders import get_encoder
from diffkit.evaluation.lpips import Lpips
from diffkit.evaluation.reconstruction import psnr
from diffkit.evaluation.shares import mean_and_error, require
from diffkit.evaluation.similarity import ssim
from diffkit.registry import METRICS
from diffkit.utils.images import read_png_metadata


@METRICS.register_module()
class ReferenceSimilarity(BaseMetric):
    """PSNR in dB, SSIM and LPIPS to a reference model's pictures of the same prompts from the same noise.

    ``process`` takes samples with ``image``, ``prompt`` and ``seed``. The result has ``psnr``, ``ssim`` and, with
    weights for it, ``lpips``, means over the pictures, each with its standard error and number.

    Args:
        pictures: a folder of PNG files that say their prompt and seed, as ``diffkit text2images`` and
            :class:`~diffkit.engine.PictureLoop` write them.
        lpips_weights: see :class:`~diffkit.evaluation.lpips.Lpips`; None leaves LPIPS out.
        lpips_net: ``alex`` or ``vgg``.
        device: of LPIPS; None takes a GPU where there is one.
        allow_pickle: also read a ``.pth`` file of weights: tensors alone, no code.
        collect_device: as for every metric of MMEngine.
        prefix: as for every metric of MMEngine.
    """

    default_prefix = "reference"

    def __init__(self, pictures: str, lpips_weights: str | None = None, lpips_net: str = "alex",
                 device: str | None = None, allow_pickle: bool = False, collect_device: str = "cpu",
                 prefix: str | None = None) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.files = pictures_by_noise(pictures)
        self.lpips = None if lpips_weights is None else Lpips(lpips_weights, lpips_net, device, allow_pickle)

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Compare each picture with its reference. ``data_batch`` is not used."""
        for sample in data_samples:
            require(sample, "image", "prompt", "seed")
            key = (sample["prompt"], int(sample["seed"]))
            if key not in self.files:
                raise ValueError(f"pictures: none of {len(self.files)} reference pictures has the prompt {key[0]!r} "
                                 f"and the seed {key[1]}; make them with the same prompts and seeds")
            image, reference = np.asarray(sample["image"]), np.asarray(open_image(self.files[key]))
            if image.shape != reference.shape:
                raise ValueError(f"pictures: {self.files[key]} is {reference.shape[1]} x {reference.shape[0]} pixels, "
                                 f"the picture to compare {image.shape[1]} x {image.shape[0]}")
            values = {"psnr": psnr(reference, image), "ssim": ssim(reference, image)}
            if self.lpips is not None:
                values["lpips"] = float(self.lpips([image], [reference])[0])
            self.results.append(values)

    def compute_metrics(self, results: list[dict[str, float]]) -> dict[str, float]:
        """Average over the pictures; see the class."""
        found: dict[str, float] = {}
        for name in results[0] if results else ():
            found |= mean_and_error(name, [values[name] for values in results])
        return found


@METRICS.register_module()
class Diversity(BaseMetric):
    """The mean distance between pictures of one prompt: 1 minus the cosine of their vectors, or LPIPS.

    ``process`` takes samples with ``image`` and ``prompt``. The result has ``clip``, ``dino`` or ``lpips``, the mean
    over prompts with two pictures or more, with its standard error and the number of these prompts.

    Args:
        distance: ``clip``, ``dino``, or ``lpips`` as in the paper of DreamBooth.
        weights: of the network; None takes the usual one of CLIP or DINO, LPIPS needs a file.
        net: of LPIPS: ``alex`` or ``vgg``.
        device: None takes a GPU where there is one.
        allow_pickle: also read weights that are no safetensors: tensors alone, no code.
        collect_device: as for every metric of MMEngine.
        prefix: as for every metric of MMEngine.
    """

    default_prefix = "diversity"

    def __init__(self, distance: str = "lpips", weights: str | None = None, net: str = "alex",
                 device: str | None = None, allow_pickle: bool = False, collect_device: str = "cpu",
                 prefix: str | None = None) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        if distance not in ("clip", "dino", "lpips"):
            raise ValueError(f"distance must be one of clip, dino, lpips, not {distance!r}")
        self.distance = distance
        if distance == "lpips":
            self.lpips = Lpips(weights or "(none)", net, device, allow_pickle)
        else:
            self.encoder = get_encoder(distance, weights, device, allow_pickle)

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep the pictures, or their vectors, by prompt. ``data_batch`` is not used."""
        for sample in data_samples:
            require(sample, "image", "prompt")
        if not data_samples:
            return
        images = [np.asarray(sample["image"]) for sample in data_samples]
        kept = images if self.distance == "lpips" else list(self.encoder.images(images))
        self.results += [(sample["prompt"], value) for sample, value in zip(data_samples, kept, strict=True)]

    def compute_metrics(self, results: list[tuple[str, np.ndarray]]) -> dict[str, float]:
        """Average over the prompts; see the class."""
        by_prompt: dict[str, list[np.ndarray]] = {}
        for prompt, value in results:
            by_prompt.setdefault(prompt, []).append(value)
        means = [self._mean_distance(values) for values in by_prompt.values() if len(values) > 1]
        return mean_and_error(self.distance, means) if means else {}

    def _mean_distance(self, values: list[np.ndarray]) -> float:
        if self.distance == "lpips":
            return self.lpips.mean_distance(values)
        return float(np.mean([1 - first @ second for first, second in itertools.combinations(values, 2)]))


def pictures_by_noise(folder: str) -> dict[tuple[str, int], Path]:
    """PNG files of a folder by the prompt and the seed that they say.

    Raises:
        ValueError: there is none that says both.
    """
    path = Path(folder).expanduser()
    found = {}
    for file in sorted(path.glob("*.png")) if path.is_dir() else ():
        about = read_png_metadata(file)
        if isinstance(about.get("prompt"), str) and isinstance(about.get("seed"), int):
            found[about["prompt"], about["seed"]] = file
    if not found:
        raise ValueError(f"pictures={folder!r} holds no PNG files that say their prompt and seed")
    return found
