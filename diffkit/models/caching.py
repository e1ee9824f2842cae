"""Decides what a model keeps of what its frozen encoders give, where, and why not."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from diffkit.models.cache import LatentCache, TextCache
from diffkit.models.disk_rows import DiskRows
from diffkit.models.frozen import is_frozen
from diffkit.models.pipeline_parts import VAE_ENCODER, PipelineParts
from diffkit.utils.encoded_stores import Kind
from diffkit.utils.hashes import tensors_sha256
from diffkit.utils.placeholders import placeholders
from diffkit.utils.user_cache import cache_folder

#: Whether something is kept: in memory (True), on disk and in memory, or not at all.
Keep = Literal[True, False, "disk"]
_ALLOWED: tuple[Keep, ...] = (True, False, "disk")
#: Settings of a VAE that change nothing in the distribution that it gives.
_AFTERWARDS = ("scaling_factor", "shift_factor", "sample_size")


class Caches:
    """The caches of a model.

    Attributes:
        latents: of pictures, or None.
        text: of prompts, or None.
        rows: a line on each, for the table before a training.

    Args:
        model: all its slots have acted.
        latents: of ``model.cache_latents``.
        text: of ``model.cache_text``.
        folder: of what lies on disk; None is diffkit's own.

    Raises:
        ValueError: an argument is none of those allowed, the folder is not used, or what was asked to be on disk cannot
            be kept.
    """

    def __init__(self, model: PipelineParts, latents: Keep, text: Keep, folder: str | None) -> None:
        for key, value in (("cache_latents", latents), ("cache_text", text)):
            if value not in _ALLOWED:
                raise ValueError(f"model.{key} is {value!r}; allowed: {', '.join(map(repr, _ALLOWED))}.")
        if folder is not None and "disk" not in (latents, text):
            raise ValueError(f"model.cache_folder={folder!r} has no effect: nothing is kept on disk. Set "
                             "model.cache_latents='disk' or model.cache_text='disk'.")
        self._folder = cache_folder() if folder is None else Path(folder).expanduser()
        self._model = model
        self.latents: LatentCache | None = None
        self.text: TextCache | None = None
        encoders = text_encoders(model)
        self.rows: list[tuple[str, str]] = []
        if self._kept("latents", "cache_latents", latents, ["vae"]):
            self.latents = LatentCache(self._disk("latents", latents, partial(vae_identity, model)))
        if self._kept("text", "cache_text", text, encoders):
            self.text = TextCache(self._disk("text", text, partial(text_identity, model)))

    def _kept(self, kind: Kind, key: str, how: Keep, components: list[str]) -> bool:
        """Whether something is kept; a line for the table says where, or why not."""
        why = "" if how else f"model.{key} is False"
        for name in components:
            if not is_frozen(self._model.get_submodule(name)):
                why = why or f"{name} is trained"
            elif getattr(self._model.quantizer, "component", None) == name:
                why = why or f"{name} is quantised"
        if why and how == "disk":
            raise ValueError(f"model.{key} cannot be 'disk': {why}, so what it gives changes; leave it out.")
        where = f"kept in {self._folder / kind}" if how == "disk" else "kept in memory"
        self.rows.append(({"latents": "latents", "text": "text states"}[kind], f"not kept: {why}" if why else where))
        return not why

    def _disk(self, kind: Kind, how: Keep, identity: Any) -> DiskRows | None:
        if how != "disk":
            return None
        return DiskRows(self._folder, kind, identity, str(self._model.pretrained or "random weights"))


def text_encoders(model: PipelineParts) -> list[str]:
    """The names of a model's text encoders."""
    return [name for name in model.components if name.startswith("text_encoder")]


def vae_identity(model: PipelineParts) -> dict[str, Any]:
    """All that latents depend on besides the pixels: the VAE's encoder, by class, settings and weights."""
    vae: Any = model.get_submodule("vae")
    settings = {key: value for key, value in vae.config.items() if not key.startswith("_") and key not in _AFTERWARDS}
    weights = ((name, value) for name, value in model.weights_of("vae") if name.startswith(VAE_ENCODER))
    return {"network": type(vae).__qualname__, "settings": _sha256(settings), "weights": _digest(weights)}


def text_identity(model: PipelineParts) -> dict[str, Any]:
    """All that text states depend on besides the prompt: the family, tokenizers, and text encoders."""
    parts: Mapping[str, Any] = model.parts
    family = type(model.family)
    encoders = {
        encoder: {"network": type(parts[encoder]).__qualname__, "settings": _sha256(_plain(parts[encoder].config)),
                  "weights": _digest(model.weights_of(encoder)), "tokenizer": _tokenizer(parts[tokenizer])}
        for tokenizer, encoder, _ in model.family.text_parts}
    return {"family": f"{family.__module__}.{family.__qualname__}", "encoders": encoders}


def _plain(config: Any) -> dict[str, Any]:
    """A config of transformers without names of files and versions."""
    ours = config.to_dict()
    return {key: value for key, value in ours.items()
            if not key.startswith("_") and key not in ("transformers_version", "dtype", "torch_dtype")}


def _tokenizer(tokenizer: Any) -> str:
    """A hash of all that decides which ids a prompt becomes."""
    fast = getattr(tokenizer, "backend_tokenizer", None)
    rules = fast.to_str() if fast is not None else sorted(tokenizer.get_vocab().items())
    return _sha256([rules, tokenizer.model_max_length, tokenizer.pad_token, placeholders(tokenizer)])


def _digest(weights: Iterable[tuple[str, Tensor]]) -> str:
    return tensors_sha256((f"{name} {list(value.shape)} {value.dtype}", value.reshape(-1)) for name, value in weights)


def _sha256(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()
