"""Numbers of bytes, as people read them."""


def format_bytes(count: float) -> str:
    """Returns ``count`` bytes as people read it: ``12.3 MB``."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if abs(count) < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
