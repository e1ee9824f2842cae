"""What a config may do and probably should not: it is said, and the run is not refused."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mmengine.config import Config

from diffkit.utils.config_check.cache_rules import cache_notes
from diffkit.utils.config_check.evaluate import Unknown, evaluate
from diffkit.utils.config_check.faults import Fault, shown_path
from diffkit.utils.config_check.options import SOURCE, set_by
from diffkit.utils.config_check.places import ConfigFiles, read_config_files
from diffkit.utils.config_check.rules import View
from diffkit.utils.config_check.walk import Walker
from diffkit.utils.native_size import native_resolution, native_resolution_of, size_warning

_DATASET = "train_dataloader.dataset"


def find_cautions(cfg: Config, cfg_options: dict[str, Any] | None = None) -> list[Fault]:
    """Returns what a user should know about a config that has no faults; nothing heavy is imported or loaded.

    Args:
        cfg: what ``check_config`` returned.
        cfg_options: the options that were given to it.
    """
    return _placed(_sizes(View(cfg._to_lazy_dict())), cfg, cfg_options)


def find_notes(cfg: Config, cfg_options: dict[str, Any] | None = None) -> list[Fault]:
    """Returns what is switched off although the config does not say so, with the reason; see :func:`find_cautions`."""
    return _placed(cache_notes(View(cfg._to_lazy_dict())), cfg, cfg_options)


def _placed(said: Iterable[tuple[str, str]], cfg: Config, cfg_options: dict[str, Any] | None) -> list[Fault]:
    """Keys and messages with the places where a config sets the keys."""
    path = Path(cfg.filename) if cfg.filename else None
    files = read_config_files(path) if path is not None and path.is_file() else ConfigFiles()
    found = []
    for key, message in said:
        option = set_by(cfg_options or {}, key)
        place = None if option else files.find(key)
        file = SOURCE if option else shown_path(place.file) if place else ""
        found.append(Fault(key, message, file, place.line if place else None, "caution"))
    return found


def _sizes(view: View) -> list[tuple[str, str]]:
    """Pictures of another size than the model was made for."""
    scratch, pretrained = view.node("model.family.scratch"), view.get("model.pretrained")
    dataset = view.node(_DATASET)
    if scratch:
        unet, vae = (view.node(f"model.family.scratch.{part}") for part in ("unet", "vae"))
        native, source = native_resolution(unet, vae), "model.family.scratch"
    elif isinstance(pretrained, str):
        native, source = native_resolution_of(pretrained), f"model.pretrained={pretrained!r}"
    else:
        return []
    side = dataset.get("resolution", _default(dataset, "resolution"))
    if native is None or dataset.get("transforms") or not isinstance(side, int) or (side, side) == native:
        return []
    return [(f"{_DATASET}.resolution", size_warning((side, side), native, source))]


def _default(node: dict[str, Any], name: str) -> Any:
    """Returns the default of an argument that the dict at the place of the data set leaves out."""
    signature = Walker(lambda *_: None).arguments(node, _DATASET)
    param = signature.params.get(name) if signature else None
    try:
        return evaluate(param.default, {}, param.source) if param and param.default is not None else None
    except Unknown:
        return None
