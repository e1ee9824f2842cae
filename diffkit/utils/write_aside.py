"""Files that appear whole or not at all, however many processes write at once."""

import uuid
from contextlib import suppress
from pathlib import Path


def write_aside(path: Path, content: bytes) -> None:
    """Writes a file under a name of its own and renames it; what was there stays until the new one is whole.

    Nothing is synced: a file may be damaged after the machine lost its power. Write so only what can be made again.

    Raises:
        OSError: it cannot be written; nothing is left of it then.
    """
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}")
    try:
        aside.write_bytes(content)
        aside.replace(path)
    except BaseException:
        with suppress(OSError):
            aside.unlink(missing_ok=True)
        raise
