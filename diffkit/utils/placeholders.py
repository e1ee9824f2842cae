"""Words that stand for learned vectors: how a tokenizer gets them, and how prompts name them.

A placeholder ``<x>`` of three vectors is three tokens, ``<x>``, ``<x>_1`` and ``<x>_2``. A prompt names it by ``<x>``
alone, and the tokens take its place before the prompt is encoded. Pipelines of diffusers do the same.
"""

import logging
import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from mmengine.logging import print_log

#: The tokenizer of each text encoder of a pipeline.
TOKENIZER_OF = {"text_encoder": "tokenizer", "text_encoder_2": "tokenizer_2"}


def placeholder_tokens(placeholder: str, count: int) -> list[str]:
    """The tokens of a placeholder of ``count`` vectors: ``<x>``, ``<x>_1`` …"""
    return [placeholder, *(f"{placeholder}_{i}" for i in range(1, count))]


def check_free(tokenizer: Any, placeholder: str, count: int, where: str) -> None:
    """Makes sure that a placeholder can be added to a tokenizer and be told from all that is there.

    Args:
        tokenizer: a tokenizer of transformers.
        placeholder: the word, in small letters.
        count: number of its vectors.
        where: the tokenizer's place in a pipeline, for messages.

    Raises:
        ValueError: it is a token already, it reads as a part of another placeholder, or its vectors do not fit into
            a prompt.
    """
    room = tokenizer.model_max_length - 2
    if count > room:
        raise ValueError(f"{placeholder!r} of {count} vectors does not fit into a prompt: {where} has room for {room} "
                         "tokens beside start and end.")
    vocabulary = tokenizer.get_vocab()
    taken = [token for token in placeholder_tokens(placeholder, count + 1) if token in vocabulary]
    if taken or len(tokenizer.encode(placeholder, add_special_tokens=False)) == 1:
        raise ValueError(f"{taken[0] if taken else placeholder!r} is a token of {where} already: choose a placeholder "
                         "that it does not know, such as '<my-cat>'.")
    front = re.fullmatch(r"(.+)_\d+", placeholder)
    if front and front[1] in placeholders(tokenizer):
        raise ValueError(f"{placeholder!r} reads as a vector of {front[1]!r}, which is a placeholder of {where}.")


def add_placeholder(tokenizer: Any, placeholder: str, count: int) -> int:
    """Adds the tokens of a placeholder that :func:`check_free` has passed; returns the id of the first."""
    tokens = placeholder_tokens(placeholder, count)
    tokenizer.add_tokens(tokens)
    first = int(tokenizer.convert_tokens_to_ids(tokens[0]))
    if tokenizer.encode(" ".join(tokens), add_special_tokens=False) != list(range(first, first + count)):
        raise ValueError(f"{placeholder!r} is not read back as one token: choose a word such as '<my-cat>'.")
    return first


def placeholders(tokenizer: Any) -> dict[str, list[int]]:
    """The placeholders of a tokenizer, each with the ids of its vectors."""
    added: Mapping[str, int] = tokenizer.added_tokens_encoder
    found: dict[str, list[int]] = {}
    inner: set[str] = set()
    for token in added:
        if token in tokenizer.all_special_tokens:
            continue
        ids, i = [added[token]], 1
        while f"{token}_{i}" in added:
            ids.append(added[f"{token}_{i}"])
            inner.add(f"{token}_{i}")
            i += 1
        found[token] = ids
    return {token: ids for token, ids in found.items() if token not in inner}


def expand(prompt: str, known: Mapping[str, Sequence[int]]) -> str:
    """Puts all tokens of a placeholder where a prompt names it: ``a <x>`` becomes ``a <x> <x>_1 <x>_2``.

    Args:
        prompt: the prompt; tokens that are written out in it stay as they are.
        known: what :func:`placeholders` gives.
    """
    words = sorted(known, key=len, reverse=True)
    if not mentions(prompt, [word for word in words if len(known[word]) > 1]):
        return prompt

    def tokens(match: re.Match[str]) -> str:
        word = match[1].lower()
        written_out = match[2] or re.match(rf"\s+{re.escape(word)}_1", prompt[match.end():], re.IGNORECASE)
        return match[0] if written_out else " ".join(placeholder_tokens(word, len(known[word])))

    return re.sub(rf"({'|'.join(map(re.escape, words))})(_\d+)?", tokens, prompt, flags=re.IGNORECASE)


def mentions(prompt: str, words: Sequence[str]) -> bool:
    """Whether a prompt names one of some placeholders; tokenizers of CLIP do not see capitals."""
    lowered = prompt.lower()
    return any(word in lowered for word in words)


def warn_of_cut(prompts: Sequence[str], rows: Sequence[Sequence[int]], known: Mapping[str, Sequence[int]]) -> None:
    """Warns, once for each placeholder, where a prompt is too long and loses vectors of it.

    Args:
        prompts: as the user wrote them.
        rows: their token ids as they are encoded.
        known: what :func:`placeholders` gives.
    """
    for prompt, row in zip(prompts, rows, strict=True):
        for token, ids in known.items():
            was_cut = row[-1] != row[-2]  # a padded row ends with equal ids
            if was_cut and mentions(prompt, [token]) and not set(ids) <= set(row):
                _warn_once(token, len(set(ids) - set(row)), len(ids), len(row), prompt)


@cache
def _warned(token: str) -> list[str]:
    return []


def _warn_once(token: str, lost: int, count: int, length: int, prompt: str) -> None:
    if not _warned(token):
        _warned(token).append(prompt)
        print_log(f"{lost} of {count} vectors of {token!r} are cut off: the prompt is longer than {length} tokens "
                  f"({prompt!r}). Shorten it or take fewer vectors; this is said once.", logger="current",
                  level=logging.WARNING)


def pool_at_end(encoder: Any, tokenizer: Any) -> None:
    """Lets a CLIP text encoder find the end of a prompt by its id.

    Where ``eos_token_id`` of the config is 2, as in old files, the pooled vector is taken at the highest id, which is
    the end of the prompt only as long as no token has been added.
    """
    inner = getattr(encoder, "text_model", encoder)
    for config in (encoder.config, inner.config):
        config.eos_token_id = tokenizer.eos_token_id
    inner.eos_token_id = tokenizer.eos_token_id
