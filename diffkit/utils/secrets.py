"""Secrets in configs and files: tokens of the Hugging Face hub, and values under names such as ``api_key``."""

import re
from collections.abc import Mapping
from typing import Any

TOKEN = re.compile(r"hf_[A-Za-z0-9]{20,}")
_NAMES = {"api_key", "apikey", "password", "secret", "hf_token", "hub_token", "auth_token", "access_token"}
HIDDEN = "***"


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
    if isinstance(value, str) and value and name.lower() in _NAMES:
        return HIDDEN
    return TOKEN.sub(HIDDEN, value) if isinstance(value, str) and TOKEN.search(value) else value
