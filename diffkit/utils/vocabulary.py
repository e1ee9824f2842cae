"""Whether a tokenizer can be right."""

from typing import Any

#: A tokenizer of bytes has a token for each of them.
BYTES = 256
#: Texts are padded to the maximum length; a missing one is given as 10^30.
MAX_LENGTH = 10_000


def vocabulary_fault(tokenizer: Any, encoder: Any = None) -> str:
    """What is impossible about a tokenizer; an empty text where nothing is.

    ``CLIPTokenizer.from_pretrained`` of missing or damaged files may give one of two tokens and of endless length,
    without a word.

    Args:
        tokenizer: a tokenizer of transformers.
        encoder: the text encoder behind it, of transformers; None does not look whether they belong together.

    Returns:
        The rest of a sentence that begins with "the tokenizer".
    """
    if len(tokenizer) < BYTES or tokenizer.model_max_length > MAX_LENGTH:
        return (f"has {len(tokenizer)} tokens and a maximum length of {tokenizer.model_max_length}: its files are "
                "missing or damaged")
    if tokenizer.bos_token_id is None or tokenizer.eos_token_id is None:
        return "has no token for the beginning or the end of a text"
    ids = tokenizer.get_vocab().values()
    if len(set(ids)) != len(ids) or min(ids) < 0:
        return "gives one id to several tokens"
    if _knows_nothing(tokenizer):
        return "knows no letters: every part of a text is the token for what is unknown"
    return "" if encoder is None else _encoder_fault(tokenizer, encoder, max(ids))


def _knows_nothing(tokenizer: Any) -> bool:
    ids = tokenizer("a photo of a dog", add_special_tokens=False).input_ids
    return not ids or set(ids) <= {tokenizer.unk_token_id}


def _encoder_fault(tokenizer: Any, encoder: Any, largest: int) -> str:
    rows = encoder.get_input_embeddings().num_embeddings
    if largest >= rows:
        return f"has ids up to {largest}, and the text encoder has {rows} rows: they belong to different models"
    places = getattr(encoder.config, "max_position_embeddings", tokenizer.model_max_length)
    if tokenizer.model_max_length > places:
        return f"makes texts of {tokenizer.model_max_length} tokens, and the text encoder takes {places}"
    return ""
