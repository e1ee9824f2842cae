"""Where diffkit keeps what it can make again at any time."""

import os
from pathlib import Path

VARIABLE = "DIFFKIT_CACHE"


def cache_folder() -> Path:
    """The user's cache folder: ``$DIFFKIT_CACHE``, else ``$XDG_CACHE_HOME/diffkit``, else ``~/.cache/diffkit``.

    Nothing is made. All that lies in it can be removed.
    """
    if own := os.environ.get(VARIABLE):
        return Path(own).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path("~/.cache").expanduser()) / "diffkit"
