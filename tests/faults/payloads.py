"""Files that run code when they are loaded without care. The code makes one file, the marker, and nothing else.

A test asserts that the marker is not there after diffkit has seen the file, and, to show that the file is
dangerous at all, that it is there after the file was loaded naively.
"""

import io
import json
import pickle
import struct
import tarfile
import zipfile
from pathlib import Path

import torch


class Touch:
    """Makes a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (str(self.marker), "w")


def module(marker: Path) -> str:
    """Python source that makes the marker when it is imported, with a class for those who look for one."""
    return f"open({str(marker)!r}, 'w').close()\n\nclass Evil:\n    pass\n"


def pickled(marker: Path, protocol: int = 4) -> bytes:
    """A bare pickle."""
    return pickle.dumps({"conv_in.weight": Touch(marker)}, protocol)


def torch_file(marker: Path, legacy: bool = False) -> bytes:
    """What torch.save writes: a zip archive around a pickle, or pickles in a row (before torch 1.6)."""
    file = io.BytesIO()
    torch.save({"conv_in.weight": Touch(marker)}, file, _use_new_zipfile_serialization=not legacy)
    return file.getvalue()


def tar_upwards(marker: Path) -> bytes:
    """A tar archive whose member leaves the folder that it is unpacked into."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo(f"../../../../../../../..{marker}"))
    return file.getvalue()


def zip_upwards(marker: Path) -> bytes:
    """A zip archive whose member leaves the folder that it is unpacked into."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(f"../../../../../../../..{marker}", "")
        archive.writestr("model_index.json", "{}")
    return file.getvalue()


def safetensors(header: object, data: bytes = b"") -> bytes:
    """A safetensors file with a header of one's own."""
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def edit_json(path: Path, **changes: object) -> None:
    """Changes keys of a JSON file."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
