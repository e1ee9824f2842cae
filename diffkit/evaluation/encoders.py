"""Networks that turn pictures and texts into vectors: CLIP and DINO, as transformers has them."""

import functools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from diffkit.evaluation.weights import load_part
from diffkit.utils.device import choose_device

CLIP_WEIGHTS, DINO_WEIGHTS = "openai/clip-vit-base-patch32", "facebook/dino-vits16"
_CLIP_MEAN, _CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_BATCH = 64

#: A picture: uint8 ``[H, W, 3]`` or PIL.
Picture = Any


def prepare(image: Picture, shorter: int, crop: int, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Float32 ``[3, crop, crop]``: shorter side scaled (bicubic, Pillow's), middle cut out, normalised.

    These are the steps of CLIP's and DINO's own programs (``Resize``, ``CenterCrop``, ``Normalize`` of torchvision).
    """
    picture = as_pil(image)
    width, height = picture.size
    if width <= height:
        size = (shorter, int(shorter * height / width))
    else:
        size = (int(shorter * width / height), shorter)
    if size != picture.size:
        picture = picture.resize(size, Image.Resampling.BICUBIC)
    left, top = round((size[0] - crop) / 2), round((size[1] - crop) / 2)
    pixels = np.asarray(picture.crop((left, top, left + crop, top + crop)), dtype=np.float32) / 255
    shift, scale = (np.asarray(values, dtype=np.float32) for values in (mean, std))
    return torch.from_numpy((pixels - shift) / scale).permute(2, 0, 1)


def as_pil(image: Picture) -> Image.Image:
    """A picture as RGB of Pillow."""
    return (image if isinstance(image, Image.Image) else Image.fromarray(np.asarray(image))).convert("RGB")


class ClipEncoder:
    """CLIP: vectors of length 1 of pictures and of texts, in one space.

    Args:
        weights: a folder or a model of the hub, as ``CLIPModel`` of transformers.
        device: None takes a GPU where there is one.
        allow_pickle: also read ``.bin`` weights.
    """

    def __init__(self, weights: str = CLIP_WEIGHTS, device: str | None = None, allow_pickle: bool = False) -> None:
        from transformers import CLIPModel, CLIPTokenizer

        self.device = choose_device(device)
        self.model = load_part(CLIPModel.from_pretrained, weights, "CLIP",
                               **({} if allow_pickle else {"use_safetensors": True})).eval().to(self.device)
        self.tokenizer = load_part(CLIPTokenizer.from_pretrained, weights, "CLIP")
        size = self.model.config.vision_config.image_size
        mean, std = _normalisation(weights, _CLIP_MEAN, _CLIP_STD)
        self._prepare = functools.partial(prepare, shorter=size, crop=size, mean=mean, std=std)

    @torch.no_grad()
    def images(self, images: Sequence[Picture]) -> np.ndarray:
        """Float32 ``[N, D]``."""
        found = []
        for batch in batches(images):
            pixels = torch.stack([self._prepare(image) for image in batch]).to(self.device)
            found.append(self.model.visual_projection(self.model.vision_model(pixel_values=pixels).pooler_output))
        return _unit(found)

    @torch.no_grad()
    def texts(self, texts: Sequence[str]) -> np.ndarray:
        """Float32 ``[N, D]``; a text that is too long is cut."""
        found = []
        for batch in batches(texts):
            tokens = self.tokenizer(list(batch), padding=True, truncation=True, return_tensors="pt",
                                    max_length=self.model.config.text_config.max_position_embeddings).to(self.device)
            output = self.model.text_model(input_ids=tokens.input_ids, attention_mask=tokens.attention_mask)
            found.append(self.model.text_projection(output.pooler_output))
        return _unit(found)


class DinoEncoder:
    """DINO: vectors of length 1 of pictures, the output at the class token (Caron et al. 2021).

    Args:
        weights: a folder or a model of the hub, as ``ViTModel`` of transformers.
        device: None takes a GPU where there is one.
        allow_pickle: also read ``.bin`` weights.
    """

    def __init__(self, weights: str = DINO_WEIGHTS, device: str | None = None, allow_pickle: bool = False) -> None:
        from transformers import ViTModel

        self.device = choose_device(device)
        self.model = load_part(ViTModel.from_pretrained, weights, "DINO", add_pooling_layer=False,
                               **({} if allow_pickle else {"use_safetensors": True})).eval().to(self.device)
        size = self.model.config.image_size
        self._prepare = functools.partial(prepare, shorter=round(size * 256 / 224), crop=size, mean=_IMAGENET_MEAN,
                                          std=_IMAGENET_STD)

    @torch.no_grad()
    def images(self, images: Sequence[Picture]) -> np.ndarray:
        """Float32 ``[N, D]``."""
        found = []
        for batch in batches(images):
            pixels = torch.stack([self._prepare(image) for image in batch]).to(self.device)
            found.append(self.model(pixel_values=pixels).last_hidden_state[:, 0])
        return _unit(found)


@functools.lru_cache(maxsize=4)
def get_encoder(kind: str, weights: str | None, device: str | None, allow_pickle: bool) -> Any:
    """An encoder, loaded once for all metrics that ask for the same.

    Raises:
        ValueError: ``kind`` is neither "clip" nor "dino".
        MetricWeightsError: its weights are not there.
    """
    kinds = {"clip": (ClipEncoder, CLIP_WEIGHTS), "dino": (DinoEncoder, DINO_WEIGHTS)}
    if kind not in kinds:
        raise ValueError(f"encoder must be 'clip' or 'dino', not {kind!r}")
    build, usual = kinds[kind]
    return build(weights or usual, device, allow_pickle)


def batches(items: Sequence[Any], size: int = _BATCH) -> Iterator[Sequence[Any]]:
    """Pieces of a sequence."""
    for first in range(0, len(items), size):
        yield items[first:first + size]


def _unit(parts: list[Tensor]) -> np.ndarray:
    vectors = torch.cat(parts).float()
    return (vectors / vectors.norm(dim=-1, keepdim=True)).cpu().numpy()


def _normalisation(weights: str, mean: Sequence[float], std: Sequence[float]) -> list[Sequence[float]]:
    """Mean and deviation that the folder of a model names, or the usual ones."""
    file = Path(weights).expanduser() / "preprocessor_config.json"
    if not file.is_file():
        return [mean, std]
    config = json.loads(file.read_text(encoding="utf-8"))
    return [config.get("image_mean", mean), config.get("image_std", std)]
