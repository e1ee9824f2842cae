"""A hash of the files that a model is loaded from, so that a picture says what painted it."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from diffkit.utils.file_hashes import files_sha256
from diffkit.utils.pretrained import unroll_pretrained

_DIGITS = 16
_WEIGHTS = (".safetensors", ".bin")


def files_hash(pretrained: str | Path | None, steps: Sequence[str | Path], vae: str | Path | None = None) -> str:
    """16 hexadecimal digits of a hash of all weight files, of the model and of the step folders on it, in their order.

    Another VAE counts too, since it paints the pictures.

    Every file is read, unless it is the same as at an earlier call; what a manifest says of it is not believed. Of a
    model of the hub it is its commit that counts, where it lies in the hub's own cache. The state that only a resumed
    training reads is left out.

    Args:
        pretrained: as for :func:`diffkit.apis.load_pipeline`.
        steps: likewise.
        vae: likewise.
    """
    digest = hashlib.sha256()
    others = [] if vae is None else [f"vae: {line}" for line in _of_vae(vae)]
    for line in [*_lines([*([] if pretrained is None else [pretrained]), *steps]), *others]:
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


def _of_vae(name: str | Path) -> Iterator[str]:
    from diffkit.models.families.vae import find_vae, vae_part

    model = find_vae(name)
    source = model.source
    return _of_folder(source / vae_part(model)) if isinstance(source, Path) else iter([_of_hub(source)])


def _of_folder(folder: Path) -> Iterator[str]:
    weights = [path for path in sorted(folder.rglob("*")) if path.suffix in _WEIGHTS and path.is_file()
               and path.relative_to(folder).parts[0] != "state"]
    for path, digest in zip(weights, files_sha256(weights), strict=True):
        yield f"{path.relative_to(folder).as_posix()} {digest}"


def _of_hub(name: str) -> str:
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(name, "model_index.json")
    return f"{name} {Path(found).parent.name if isinstance(found, str) else 'unknown'}"
