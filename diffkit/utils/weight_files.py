"""What a weight file really is, whatever its name says, and whether a safetensors file is sound.

Nothing here unpickles, unpacks or maps more than a header.
"""

import json
import re
from collections.abc import Iterable
from pathlib import Path

#: Suffixes of files that Python or torch would unpickle, and of archives that may hold such files.
PICKLES = frozenset({".bin", ".ckpt", ".dill", ".joblib", ".pickle", ".pkl", ".pt", ".pth"})
ARCHIVES = frozenset({".7z", ".bz2", ".gz", ".rar", ".tar", ".tgz", ".whl", ".xz", ".zip", ".zst"})
#: Longest header of a safetensors file, in bytes. That of SDXL's UNet has about 200 kB; safetensors allows 100 MB.
MAX_HEADER = 10_000_000

_STARTS = {
    b"PK\x03\x04": "a zip archive, as torch.save writes it around a pickle", b"PK\x05\x06": "an empty zip archive",
    b"\x1f\x8b": "a gzip archive", b"BZh": "a bzip2 archive", b"\xfd7zXZ": "an xz archive",
    b"7z\xbc\xaf": "a 7z archive", b"Rar!": "a rar archive", b"\x28\xb5\x2f\xfd": "a zstd archive",
    b"GGUF": "a GGUF file", b"\x89HDF": "an HDF5 file", b"<!doctype": "a web page", b"<html": "a web page",
    b"version https://git-lfs": "the pointer of a Git LFS file that was not downloaded (git lfs pull)",
}


def real_kind(path: Path) -> str:
    """What a file is that holds no safetensors: a pickle, an archive, a web page; an empty text for all others.

    It is a guess from the first bytes, for messages; a file that is refused is refused without it.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        start = file.read(512)
    for mark, kind in _STARTS.items():
        if start[: len(mark)].lower() == mark.lower():
            return kind
    if start[257:262] == b"ustar":
        return "a tar archive"
    return "a pickle, which can hold code" if _PICKLE.match(start) else ""


#: Protocols 2 to 5 begin with 80 and their number; those before are text.
_PICKLE = re.compile(rb"\x80[\x02-\x05]|c[\w.]+\n\w+\n|\((lp|dp|i[\w.]+\n)")


def safetensors_fault(path: Path) -> str:
    """What is wrong with a safetensors file, in words that begin with "it" or "its"; an empty text where it is sound.

    The header is read: its length, its JSON, and that the tensors fill the file without gaps and overlaps. Values
    are not.
    """
    try:
        fault = _header_fault(path)
        kind = real_kind(path) if fault else ""
    except OSError as error:
        return f"it cannot be read ({error.strerror or error})"
    return f"it is {kind}" if kind else fault


def _header_fault(path: Path) -> str:
    from safetensors import SafetensorError, safe_open

    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
    if size < 8 or length > size - 8:
        return f"its header should have {length} bytes, and the file has {size}: it is damaged or cut off"
    if length > MAX_HEADER:
        return f"its header has {length} bytes, allowed are {MAX_HEADER}"
    try:
        with safe_open(str(path), "np"):
            return ""
    except SafetensorError as error:
        said = str(error).removeprefix("Error while deserializing header: ")
        return f"its header is damaged ({said[:200]})"


def index_fault(path: Path) -> str:
    """What is wrong with the index of weights in several files; an empty text where it is sound.

    Its entries must be names of safetensors files beside it.
    """
    try:
        names = set(json.loads(path.read_text(encoding="utf-8"))["weight_map"].values())
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        return f"it is no index of weights ({type(error).__name__})"
    for name in sorted(names, key=str):
        if not isinstance(name, str) or Path(name).name != name or not name.endswith(".safetensors"):
            return f"it names {str(name)[:100]!r}, which is no safetensors file beside it"
        if not (path.parent / name).is_file():
            return f"it names {name!r}, which is missing"
    return ""


def pickled_files(names: Iterable[str]) -> list[str]:
    """Those of some file names that are of pickles or archives."""
    return sorted(name for name in names if Path(name).suffix.lower() in PICKLES | ARCHIVES)


def is_archive(path: Path) -> bool:
    """Whether a file is an archive that people pack folders into; the zip files of torch are taken for pickles."""
    return path.suffix.lower() in ARCHIVES or (
        path.suffix.lower() not in PICKLES and real_kind(path).partition(",")[0].endswith("archive"))
