"""Safetensors files that tell whether they are what was written, under the name under which they were written.

The seal is a SHA-256 in the file's own metadata, over its name, its header and its values. No torch is needed to look.
"""

import hashlib
import json
from typing import Any

_SEAL = "sha256"
_METADATA = "__metadata__"


def sealed(content: bytes, name: str) -> bytes:
    """Puts a seal into a safetensors file.

    Args:
        content: the file, without metadata.
        name: what the file is to be known by.
    """
    header, data = _split(content)
    text = json.dumps({_METADATA: {_SEAL: _digest(name, header, data)}, **header}).encode()
    text += b" " * (-len(text) % 8)  # the values begin at a multiple of 8
    return len(text).to_bytes(8, "little") + text + data


def fault(content: bytes, name: str) -> str:
    """What is wrong with a file of :func:`sealed`, in words; an empty text where nothing is."""
    try:
        header, data = _split(content)
        seal = header.pop(_METADATA)[_SEAL]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return "it is truncated, or no file of this cache"
    return "" if seal == _digest(name, header, data) else "its content is not what was written under this name"


def _split(content: bytes) -> tuple[dict[str, Any], bytes]:
    """Header and values of a safetensors file; ValueError where it is none."""
    length = int.from_bytes(content[:8], "little")
    if len(content) < 8 + length:
        raise ValueError("truncated")
    return json.loads(content[8:8 + length]), content[8 + length:]


def _digest(name: str, header: dict[str, Any], data: bytes) -> str:
    digest = hashlib.sha256(json.dumps([name, header], sort_keys=True).encode())
    digest.update(data)
    return digest.hexdigest()
