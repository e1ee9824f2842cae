"""The manifest of a checkpoint: size and SHA-256 of every file, so that any later damage shows.

It is the last file that is written, and has a hash of its own.
"""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from diffkit.engine.files import files_below, sync
from diffkit.utils.hashes import file_sha256
from diffkit.utils.weight_files import pickled_files, safetensors_fault

MANIFEST = "manifest.json"
STEP = re.compile(r"step(\d+)")  # the name of a checkpoint's folder
_FORMAT = 1


def write_manifest(folder: Path, meta: dict[str, Any]) -> None:
    """Describes all files of a folder, and waits until they, the manifest and the folder itself are on the disk.

    Args:
        folder: holds the files; nothing is added to it after this.
        meta: JSON values to keep.
    """
    files = {}
    for path in files_below(folder):
        sync(path)
        files[path.relative_to(folder).as_posix()] = {"size": path.stat().st_size, "sha256": file_sha256(path)}
    body = {"format": _FORMAT, "meta": meta, "files": dict(sorted(files.items()))}
    path = folder / MANIFEST
    path.write_text(manifest_text(body), encoding="utf-8")
    sync(path)
    for below in sorted(item for item in folder.rglob("*") if item.is_dir()):
        sync(below)
    sync(folder)


def read_manifest(folder: str | Path) -> dict[str, Any]:
    """Reads and checks the shape of a manifest.

    Raises:
        OSError: there is none.
        ValueError: it is damaged or of an unknown format.
    """
    path = Path(folder) / MANIFEST
    if not path.is_file():
        raise FileNotFoundError(f"{MANIFEST} is missing: the checkpoint was not finished, or is none")
    try:
        text = path.read_text(encoding="utf-8")
        manifest = json.loads(text)
        intact = text == manifest_text({key: value for key, value in manifest.items() if key != "sha256"})
    except (ValueError, AttributeError, RecursionError) as error:
        raise ValueError(f"{MANIFEST} is damaged: {error}") from None
    if not intact:
        raise ValueError(f"{MANIFEST} is damaged: its own SHA-256 differs")
    if manifest.get("format") != _FORMAT:
        raise ValueError(f"{MANIFEST} has format {manifest.get('format')}, this version reads {_FORMAT}")
    if not _has_shape(manifest):
        raise ValueError(f"{MANIFEST} is damaged: it is not what this program writes")
    return manifest


def verify_checkpoint(folder: str | Path) -> list[str]:
    """Compares a checkpoint with its manifest.

    Returns:
        The faults in plain words; an empty list says that every byte is as it was written.
    """
    folder = Path(folder)
    try:
        manifest = read_manifest(folder)
    except (OSError, ValueError) as error:
        return [str(error)]
    files = manifest["files"]
    faults = _misnamed(folder, manifest)
    present = {path.relative_to(folder).as_posix() for path in files_below(folder)} - {MANIFEST}
    faults += [f"{name} is missing" for name in sorted(files.keys() - present)]
    faults += [f"{name} is not in the manifest" for name in sorted(present - files.keys())]
    found = {name: _file_fault(folder / name, files[name]) for name in sorted(files.keys() & present)}
    return faults + [f"{name} {fault}" for name, fault in found.items() if fault]


def verify_sizes(folder: str | Path) -> list[str]:
    """Like ``verify_checkpoint`` but compares sizes only, which costs nothing."""
    folder = Path(folder)
    try:
        files = read_manifest(folder)["files"]
    except (OSError, ValueError) as error:
        return [str(error)]
    return [
        f"{name} is missing or has another size"
        for name, entry in files.items()
        if not (folder / name).is_file() or (folder / name).stat().st_size != entry["size"]
    ]


def manifest_text(body: dict[str, Any]) -> str:
    """The text of a manifest: the body, and a SHA-256 of it."""
    digest = hashlib.sha256(json.dumps(body).encode()).hexdigest()
    return json.dumps(body | {"sha256": digest}, indent=1) + "\n"


def _file_fault(path: Path, entry: dict[str, Any]) -> str:
    """What is wrong with a file of a checkpoint, in words that follow its name; an empty text where it is sound."""
    if path.is_symlink():
        return "is a link"
    if pickled_files([path.name]):
        return "is a pickle or an archive by its name; a checkpoint holds neither, and none is read"
    try:
        size = path.stat().st_size
        if size != entry["size"]:
            return f"has {size} bytes instead of {entry['size']}"
        if file_sha256(path) != entry["sha256"]:
            return "has changed (SHA-256 differs)"
        fault = safetensors_fault(path) if path.suffix == ".safetensors" else ""
    except OSError as error:  # a disk that fails must not hide the checkpoint before
        return f"cannot be read ({error.strerror or error})"
    return f"is no sound safetensors file: {fault}" if fault else ""


def _misnamed(folder: Path, manifest: dict[str, Any]) -> list[str]:
    """A checkpoint under the name of another step is not the one that is looked for."""
    match, step = STEP.fullmatch(folder.name), manifest["meta"].get("step")
    if match is None or step is None or int(match[1]) == step:
        return []
    return [f"{MANIFEST} is that of the checkpoint of step {step}"]


def _has_shape(manifest: dict[str, Any]) -> bool:
    files = manifest.get("files")
    return isinstance(manifest.get("meta"), dict) and isinstance(files, dict) and all(
        isinstance(entry, dict) and entry.keys() >= {"size", "sha256"} for entry in files.values())
