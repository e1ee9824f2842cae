"""The shipped configs that learn a subject from photographs, and what the page may change in them."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from diffkit.apis.configs import list_configs, summary
from diffkit.app.fields import FieldError
from diffkit.utils.near import did_you_mean

#: Folders of configs whose subject is one's own.
FOLDERS = ("dreambooth", "pivotal_tuning", "textual_inversion", "custom_diffusion", "distill_sd_dreambooth")
#: Trains on a CPU, offline, in minutes.
DEFAULT = "mini_sd_dreambooth_lora"


@dataclass(frozen=True)
class Recipe:
    """A config, and its own values of what the page may change.

    Attributes:
        name: of the config.
        summary: the first line of its docstring.
        path: the file.
        word: what stands for the subject in prompts.
        learned: the word is learned: the name of its tuner; None where any rare word does.
        iterations: of the training.
        learning_rate: of the optimizer.
        seed: of everything random.
        base: the model that it begins with.
    """

    name: str
    summary: str
    path: Path
    word: str
    learned: str | None
    iterations: int
    learning_rate: float
    seed: int
    base: str


def recipe_names() -> list[str]:
    """Names of the configs that may fit, without reading them; the default first."""
    names = [path.stem for folder in FOLDERS for path in list_configs(f"{folder}/*")]
    return sorted(names, key=lambda name: (name != DEFAULT, not name.startswith("mini"), name))


@cache
def recipes() -> dict[str, Recipe]:
    """The configs that learn one subject from a folder, by name. They are read as data; that takes some seconds."""
    paths = {path.stem: path for folder in FOLDERS for path in list_configs(f"{folder}/*")}
    found = {}
    for name in recipe_names():
        recipe = _recipe(paths[name])
        if recipe is not None:
            found[name] = recipe
    return found


def find_recipe(name: str) -> Recipe:
    """The recipe of that name.

    Raises:
        FieldError: there is none.
    """
    known = recipes()
    if name not in known:
        raise FieldError("config", f"no config {name!r} here learns a subject from photographs"
                         f"{did_you_mean(name, list(known))}")
    return known[name]


def read_recipe_config(path: Path) -> Any:
    """The config as data; nothing of it is executed."""
    from diffkit.utils.config_check import read_safely

    return read_safely(path)


def _recipe(path: Path) -> Recipe | None:
    from diffkit.datasets.concept import ConceptDataset

    cfg = read_recipe_config(path)
    dataset = cfg.train_dataloader.dataset
    if dataset.get("type") is not ConceptDataset:
        return None
    learned = next((name for name, tuner in tuners_of(cfg).items() if "placeholder_token" in tuner), None)
    word = tuners_of(cfg)[learned]["placeholder_token"] if learned else dataset.get("placeholder") or "sks"
    return Recipe(path.stem, summary(path), path, word, learned, cfg.train_cfg.max_iters,
                  cfg.optim_wrapper.optimizer.lr, cfg.get("randomness", {}).get("seed", 0), str(cfg.model.pretrained))


def tuners_of(cfg: Any) -> Mapping[str, Any]:
    """The tuners of a config by name."""
    return cfg.model.get("tuners") or {}
