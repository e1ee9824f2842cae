"""Learned vectors of placeholders: files that ``pipe.load_textual_inversion`` reads, and the way back."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from diffkit.export.artifacts import EmbeddingArtifact
from diffkit.export.reload import check_fits
from diffkit.export.tensors import read_tensors, save_tensors
from diffkit.utils.placeholders import TOKENIZER_OF, add_placeholder, check_free, pool_at_end
from diffkit.utils.step_folder import EMBEDDING_FILES, StepFolder


def embedding_files(artifacts: Sequence[EmbeddingArtifact]) -> dict[str, tuple[EmbeddingArtifact, str]]:
    """The files of some placeholders: name -> (artifact, text encoder).

    One placeholder has ``learned_embeds.safetensors``, and ``learned_embeds_2.safetensors`` of a second text encoder.
    Of several each has files of its own, ``learned_embeds.<word>.safetensors``, for diffusers reads one at a time.
    """
    found: dict[str, tuple[EmbeddingArtifact, str]] = {}
    for artifact in artifacts:
        word = re.sub(r"[^\w-]", "", artifact.token) or "placeholder"
        for encoder, _ in artifact.rows:
            stem = EMBEDDING_FILES[encoder] + (f".{word}" if len(artifacts) > 1 else "")
            end = ".safetensors"
            while stem + end in found:  # "<a>" and "a" are two words
                end = f".{len(found)}.safetensors"
            found[stem + end] = (artifact, encoder)
    return found


def write_embeddings(artifacts: Sequence[EmbeddingArtifact], folder: Path) -> list[Path]:
    """Writes one ``{token: [n, d]}`` for each placeholder and text encoder; see :func:`embedding_files`."""
    written = []
    for name, (artifact, encoder) in embedding_files(artifacts).items():
        save_tensors({artifact.token: dict(artifact.rows)[encoder]()}, folder / name)
        written.append(folder / name)
    return written


def apply_embeddings(parts: Mapping[str, Any], step: StepFolder, target: str) -> None:
    """Adds the placeholders of a step folder to tokenizers and text encoders, in place.

    Args:
        parts: of the pipeline, by name.
        step: a step folder; one without learned vectors changes nothing.
        target: name of the pipeline, for messages.

    Raises:
        ValueError: a token is there already, or the vectors do not fit; nothing has been changed then.
    """
    if not step.embeddings:
        return
    check_fits(parts, step, target)
    tables = [(encoder, token, rows) for encoder, files in step.embeddings.items() for file in files
              for token, rows in read_embeddings(file).items()]
    _check_encoders(parts, tables, step, target)
    add_embeddings(parts, tables, str(step.path), target)


def add_embeddings(parts: Mapping[str, Any], tables: Sequence[tuple[str, str, Tensor]], source: str,
                   target: str) -> None:
    """Adds placeholders to tokenizers and text encoders, in place.

    Args:
        parts: of the pipeline, by name.
        tables: text encoder, placeholder and its vectors [n, d].
        source: where they come from, for messages.
        target: name of the pipeline, for messages.

    Raises:
        ValueError: a token is there already, or the vectors do not fit; nothing has been changed then.
    """
    for encoder, token, rows in tables:
        width = parts[encoder].get_input_embeddings().embedding_dim
        if rows.shape[1] != width:
            raise ValueError(f"{source}: the vectors of {token!r} for {encoder} are {rows.shape[1]} wide, those of "
                             f"{target!r} are {width}: they were trained on another model.")
        try:
            check_free(parts[TOKENIZER_OF[encoder]], token, len(rows), f"{target}'s {TOKENIZER_OF[encoder]}")
        except ValueError as error:
            raise ValueError(f"{source} cannot be loaded: {error} Is it there twice?") from None
    for encoder, token, rows in tables:
        tokenizer = parts[TOKENIZER_OF[encoder]]
        _add_rows(parts[encoder], add_placeholder(tokenizer, token, len(rows)), rows)
        pool_at_end(parts[encoder], tokenizer)


def read_embeddings(file: Path) -> dict[str, Tensor]:
    """Reads the vectors [n, d] of each placeholder in a file.

    Raises:
        ValueError: it holds something else.
    """
    tensors = read_tensors(file)
    found = {token: rows.reshape(1, -1) if rows.dim() == 1 else rows for token, rows in tensors.items()}
    wrong = [token for token, rows in found.items() if rows.dim() != 2 or not len(rows)]
    if wrong or not found:
        raise ValueError(f"{file} holds no vectors of a placeholder: a tensor [n, d] by the name of the word.")
    return found


def _check_encoders(parts: Mapping[str, Any], tables: Sequence[tuple[str, str, Tensor]], step: StepFolder,
                    target: str) -> None:
    """A placeholder has to be known to every text encoder of the pipeline, and to no other."""
    needed = {name for name in parts if name in TOKENIZER_OF and parts[name] is not None}
    for token in dict.fromkeys(token for _, token, _ in tables):
        given = {encoder for encoder, other, _ in tables if other == token}
        if given != needed:
            raise ValueError(f"{step.path} has vectors of {token!r} for {_listed(given)}, and {target!r} has "
                             f"{_listed(needed)}: they were trained on another kind of model.")


def _listed(names: set[str]) -> str:
    return " and ".join(sorted(names)) or "no text encoder"


def _add_rows(encoder: Any, first: int, rows: Tensor) -> None:
    """Lets the token embedding have ``rows`` at the ids from ``first`` on; the other rows stay bit-equal."""
    old = encoder.get_input_embeddings()
    count = max(old.num_embeddings, first + len(rows))
    weight = torch.zeros(count, old.embedding_dim, dtype=old.weight.dtype, device=old.weight.device)
    weight[:old.num_embeddings] = old.weight.detach()
    weight[first:first + len(rows)] = rows.to(weight)
    new = nn.Embedding.from_pretrained(weight, freeze=not old.weight.requires_grad, padding_idx=old.padding_idx)
    encoder.set_input_embeddings(new.train(old.training))
    encoder.config.vocab_size = count
