"""New words for a frozen model (Gal et al. 2022, arXiv 2208.01618)."""

import re
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from diffkit.export.artifacts import Artifact, EmbeddingArtifact
from diffkit.models.learned_embedding import LearnedVectors, learn_rows
from diffkit.models.tuners.base import Tuner
from diffkit.registry import TUNERS
from diffkit.utils.placeholders import add_placeholder, check_free, mentions, pool_at_end

if TYPE_CHECKING:
    from diffkit.models.latent_diffusion import LatentDiffusion


@TUNERS.register_module()
class TextualInversion(Tuner):
    """Learns the vectors of one new word, in every text encoder of the family; all weights stay as they are.

    The tokens ``<x>``, ``<x>_1`` … are added to every tokenizer. Prompts name them by ``<x>`` alone.

    Args:
        placeholder_token: the new word, in small letters and without spaces, such as ``<cat-toy>``.
        num_vectors: how many tokens the word stands for, at least 1.
        initializer_token: all vectors begin as that of this word, which must be one token; None begins at random.
        init_std: standard deviation of a random begin, above 0 (0.01 in some programs); None takes that of the
            encoder's own table.
        max_norm: the length at which longer vectors are used, above 0; None lets them grow.
        seed: of a random begin, 0 or more; None takes the run's seed.
        export_pipeline: also write the whole pipeline with the new rows into each checkpoint.
    """

    def __init__(self, placeholder_token: str, num_vectors: int = 1, initializer_token: str | None = None,
                 init_std: float | None = None, max_norm: float | None = None, seed: int | None = None,
                 export_pipeline: bool = False) -> None:
        super().__init__("text_encoder")
        if not placeholder_token or placeholder_token != "".join(placeholder_token.lower().split()):
            raise ValueError(f"TextualInversion: placeholder_token is {placeholder_token!r}; it must be one word in "
                             "small letters, such as '<cat-toy>': tokenizers of CLIP do not see capitals.")
        if num_vectors < 1:
            raise ValueError(f"TextualInversion: num_vectors is {num_vectors}; it must be 1 or more.")
        if init_std is not None and not init_std > 0:
            raise ValueError(f"TextualInversion: init_std is {init_std}; it must be above 0.")
        if init_std is not None and initializer_token is not None:
            raise ValueError("TextualInversion: init_std is that of a random begin; give it or initializer_token.")
        if max_norm is not None and not max_norm > 0:
            raise ValueError(f"TextualInversion: max_norm is {max_norm}; it must be above 0.")
        if seed is not None and seed < 0:
            raise ValueError(f"TextualInversion: seed is {seed}; it must be 0 or more.")
        self.placeholder_token = placeholder_token
        self.num_vectors = num_vectors
        self.initializer_token = initializer_token
        self.init_std = init_std
        self.max_norm = max_norm
        self.seed = seed
        self.export_pipeline = export_pipeline
        self.vectors: dict[str, LearnedVectors] = {}

    def apply(self, model: "LatentDiffusion") -> None:
        """Adds tokens and vectors.

        Raises:
            ValueError: the placeholder is a token already, its vectors do not fit into a prompt, or the initializer
                is not one token.
        """
        parts = model.parts
        pairs = [(name, parts[tokenizer], parts[name]) for tokenizer, name, _ in model.family.text_parts]
        places = [f"{model.pretrained or 'the model'}'s {tokenizer}" for tokenizer, _, _ in model.family.text_parts]
        try:
            for (_, tokenizer, _), where in zip(pairs, places, strict=True):
                check_free(tokenizer, self.placeholder_token, self.num_vectors, where)
            begins = [self._begin(pair[1], pair[2], where) for pair, where in zip(pairs, places, strict=True)]
        except ValueError as error:
            raise ValueError(f"TextualInversion: {error}") from None
        generator = self._generator()
        for (name, tokenizer, encoder), begin in zip(pairs, begins, strict=True):
            rows = begin if isinstance(begin, Tensor) else self._random(encoder, begin, generator)
            first = add_placeholder(tokenizer, self.placeholder_token, self.num_vectors)
            self.vectors[name] = LearnedVectors(self.placeholder_token, first, rows, self.max_norm)
            learn_rows(encoder, self.vectors[name])
            pool_at_end(encoder, tokenizer)

    def _begin(self, tokenizer: Any, encoder: Any, where: str) -> Tensor | float:
        """The vectors to begin with, [n, d]; or the standard deviation of random ones."""
        table = encoder.get_input_embeddings()
        if self.initializer_token is None:
            return self.init_std or table.weight.float().std().item()
        ids = tokenizer.encode(self.initializer_token, add_special_tokens=False)
        if len(ids) != 1:
            pieces = ", ".join(tokenizer.convert_ids_to_tokens(ids)) or "nothing"
            raise ValueError(f"initializer_token is {self.initializer_token!r}, which is {len(ids)} tokens of {where} "
                             f"({pieces}): give a word that is one token, or None.")
        with torch.no_grad():
            return table(torch.tensor(ids, device=table.weight.device)).repeat(self.num_vectors, 1)

    def _generator(self) -> torch.Generator | None:
        """Of a random begin; two words with one seed begin differently."""
        if self.seed is None:
            return None
        return torch.Generator().manual_seed((self.seed + zlib.crc32(self.placeholder_token.encode())) % 2**32)

    def _random(self, encoder: Any, std: float, generator: torch.Generator | None) -> Tensor:
        width = encoder.get_input_embeddings().embedding_dim
        return std * torch.randn(self.num_vectors, width, generator=generator)

    def artifact(self, model: "LatentDiffusion") -> Artifact:
        rows = tuple((encoder, vectors.rows) for encoder, vectors in self.vectors.items())
        return EmbeddingArtifact(self.placeholder_token, rows, model.pretrained, self.export_pipeline)

    def describe(self) -> str:
        begin = f"begun as {self.initializer_token!r}" if self.initializer_token else "begun at random"
        which = ", ".join(self.vectors) or "the text encoders"
        count = "1 vector" if self.num_vectors == 1 else f"{self.num_vectors} vectors"
        return f"{count} of {self.placeholder_token}, {begin}, in {which}"

    def statistics(self) -> dict[str, float]:
        """Norm of each vector, and cosine to where it began: ``cat-toy/text_encoder/norm_0`` …"""
        word = re.sub(r"[^\w-]", "", self.placeholder_token) or "placeholder"
        return {f"{word}/{encoder}/{name}": value for encoder, vectors in self.vectors.items()
                for name, value in vectors.statistics().items()}

    def check_prompts(self, prompts: Iterable[str]) -> None:
        """Refuses prompts that would never show the new word to the model.

        Raises:
            ValueError: none of them has the placeholder.
        """
        count, example = 0, ""
        for prompt in prompts:
            if mentions(prompt, [self.placeholder_token]):
                return
            count, example = count + 1, prompt
        raise ValueError(f"TextualInversion: none of the {count} prompts of the training data has "
                         f"{self.placeholder_token!r}, so nothing would be learned (one is {example!r}): set "
                         f"placeholder={self.placeholder_token!r} of the dataset, and prompts with {{}} in them.")

    @contextmanager
    def disabled(self, model: "LatentDiffusion") -> Iterator[None]:
        """Shows the vectors as they began inside ``with``."""
        for vectors in self.vectors.values():
            vectors.shows_initial = True
        try:
            yield
        finally:
            for vectors in self.vectors.values():
                vectors.shows_initial = False
