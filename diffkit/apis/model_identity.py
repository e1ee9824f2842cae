"""A hash of the files that a model is loaded from, so that a picture says what painted it."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from diffkit.utils.hashes import file_sha256
from diffkit.utils.pretrained import unroll_pretrained

_DIGITS = 16
_WEIGHTS = (".safetensors", ".bin")


def files_hash(pretrained: str | Path | None, steps: Sequence[str | Path]) -> str:
    """16 hexadecimal digits of a hash of all weight files, of the model and of the step folders on it, in their order.

    Of a model of the hub it is its commit that counts, where it lies in the hub's own cache; of a step folder of a
    training the hashes of its manifest. The state that only a resumed training reads is left out.

    Args:
        pretrained: as for :func:`diffkit.apis.load_pipeline`.
        steps: likewise.
    """
    digest = hashlib.sha256()
    for line in _lines([*([] if pretrained is None else [pretrained]), *steps]):
        digest.update(f"{line}\n".encode())
    return digest.hexdigest()[:_DIGITS]


def _lines(names: Sequence[str | Path]) -> Iterator[str]:
    seen: set[str] = set()
    for name in names:
        source, below = unroll_pretrained(name)
        for place in (source, *(step.path for step in below)):
            if str(place) not in seen:
                seen.add(str(place))
                yield from _of_folder(place) if isinstance(place, Path) else [_of_hub(place)]


def _of_folder(folder: Path) -> Iterator[str]:
    known = _manifest(folder)
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if path.suffix in _WEIGHTS and inside.parts[0] != "state" and path.is_file():
            entry = known.get(inside.as_posix(), {})
            sound = entry.get("size") == path.stat().st_size
            yield f"{inside.as_posix()} {entry['sha256'] if sound else file_sha256(path)}"


def _manifest(folder: Path) -> dict[str, dict]:
    """The files of a step folder with their sizes and hashes; nothing for any other folder."""
    from diffkit.engine.manifest import read_manifest

    try:
        return read_manifest(folder)["files"]
    except (OSError, ValueError):
        return {}


def _of_hub(name: str) -> str:
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(name, "model_index.json")
    return f"{name} {Path(found).parent.name if isinstance(found, str) else 'unknown'}"
