"""What keeps latents and text states from being kept: refused where a config asks for it, told where it does not."""

from collections.abc import Iterator

from diffkit.utils.config_check.rules import Conflicts, View, rule, type_name

LATENTS, TEXT, FOLDER = "model.cache_latents", "model.cache_text", "model.cache_folder"
_DATASET = "train_dataloader.dataset"
_ONCE = "no picture comes twice"


@rule
def latent_cache(view: View) -> Conflicts:
    """Latents can be kept only while the VAE stays as it is and pictures come again."""
    yield from _refused(view, LATENTS, why_no_latents(view))


@rule
def text_cache(view: View) -> Conflicts:
    """Text states can be kept only while the text encoders stay as they are."""
    yield from _refused(view, TEXT, why_no_text(view))


@rule
def folder_of_caches(view: View) -> Conflicts:
    """A folder for what is kept on disk has no effect where nothing is."""
    if view.get(FOLDER) is not None and "disk" not in (view.get(LATENTS), view.get(TEXT)):
        yield FOLDER, f"has no effect: nothing is kept on disk; set {LATENTS}='disk' or {TEXT}='disk'"


def cache_notes(view: View) -> Iterator[tuple[str, str]]:
    """What is not kept although the config does not say so: the key and one line for each."""
    for key, reasons in ((LATENTS, why_no_latents(view)), (TEXT, why_no_text(view))):
        if view.node("model") and view.get(key) is None and (found := list(reasons)):
            yield key, f"is off {'; '.join(found)}"


def why_no_latents(view: View) -> Iterator[str]:
    """Why latents would be wrong or useless if they were kept, in words that follow "cannot be True"."""
    yield from _changes(view, "vae", "the VAE")
    dataset = view.node(_DATASET)
    for i, transform in enumerate(dataset.get("transforms") or ()):
        name = type_name(transform)
        if (name.startswith(("Random", "SizeAugment")) or "Jitter" in name) and name != "RandomHorizontalFlip":
            yield f"with the random augmentation {name} ({_DATASET}.transforms.{i}): {_ONCE}"
    if dataset.get("size_augment"):
        yield f"with {_DATASET}.size_augment: {_ONCE}"
    if dataset.get("center_crop") is False and not dataset.get("transforms"):
        yield f"with random crops ({_DATASET}.center_crop=False): {_ONCE}"


def why_no_text(view: View) -> Iterator[str]:
    """Why text states would be wrong if they were kept, in words that follow "cannot be True"."""
    yield from _changes(view, "text_encoder", "a text encoder")


def _changes(view: View, component: str, named: str) -> Iterator[str]:
    for key in view.tuners(component):
        yield f"while {named} is trained ({key})"
    if str(view.get("model.quantizer.component", "unet")).startswith(component):
        yield f"while {named} is quantised (model.quantizer)"


def _refused(view: View, key: str, reasons: Iterator[str]) -> Conflicts:
    if view.get(key) in (True, "disk"):
        for reason in reasons:
            yield key, f"cannot be {view.get(key)!r} {reason}; leave it out"
