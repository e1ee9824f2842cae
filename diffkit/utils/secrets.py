"""Secrets in configs and files: tokens of the Hugging Face hub, and values under names such as ``api_key``."""

import re
from collections.abc import Mapping
from typing import Any

TOKEN = re.compile(r"hf_[A-Za-z0-9]{20,}")
_NAME = re.compile(r"(.*[_-])?(api[_-]?keys?|passwords?|passwd|secrets?|secret[_-]key)"
                   r"|(.*[_-])?(hf|hub|huggingface|auth|access|api|bearer|wandb)[_-]token", re.IGNORECASE)
HIDDEN = "***"


def is_secret_name(name: str) -> bool:
    """Whether a key is called like a password or an access token; ``placeholder_token`` and its like are words."""
    return _NAME.fullmatch(name) is not None


def without_secrets(value: Any, name: str = "") -> Any:
    """The same value, or a copy in which secrets are ``***`` where it holds any.

    Args:
        value: dicts, lists and plain values, as configs have them.
        name: the key that it stands under.
    """
    if isinstance(value, Mapping):
        clean: Any = {key: without_secrets(item, str(key)) for key, item in value.items()}
        return value if all(clean[key] is value[key] for key in value) else clean
    if isinstance(value, list | tuple):
        items = [without_secrets(item, name) for item in value]
        same = all(new is old for new, old in zip(items, value, strict=True))
        return value if same else type(value)(items)
    if isinstance(value, str) and value and is_secret_name(name):
        return HIDDEN
    return TOKEN.sub(HIDDEN, value) if isinstance(value, str) and TOKEN.search(value) else value
