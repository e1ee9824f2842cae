"""What the check looks up on this machine."""

import os
import platform
from pathlib import Path


def has_gpu() -> bool:
    """Returns whether this machine has a GPU that a program may use, judged without torch."""
    if platform.system() != "Linux":
        return True
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return False
    return any(Path(device).exists() for device in ("/dev/nvidiactl", "/dev/nvidia0", "/dev/kfd", "/dev/dxg"))


def images_in(folder: str) -> int:
    """Returns how many files of a folder are named like images; 0 where there is no folder."""
    path = Path(folder).expanduser()
    suffixes = {".png", ".jpg", ".jpeg", ".webp", ".bmp"}
    return sum(p.suffix.lower() in suffixes for p in path.iterdir()) if path.is_dir() else 0
