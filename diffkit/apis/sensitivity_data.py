"""The data that the sensitivity of a model is judged on."""

from itertools import islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmengine.config import Config


def chosen_batches(cfg: "Config", count: int) -> list[dict[str, Any]]:
    """The first batches of a config's training data; the generators are seeded for the model after that.

    Raises:
        ValueError: the config has no training data.
    """
    from diffkit.engine import Runner
    from diffkit.engine.seeding import derive_seed, seed_everything

    if cfg.get("train_dataloader") is None:
        raise ValueError(f"config: {cfg.filename} has no train_dataloader: the parts are judged on its pictures.")
    seed = int(cfg.get("randomness", {}).get("seed") or 0)
    seed_everything(derive_seed(seed, "data"))
    loader = Runner.build_dataloader(cfg.train_dataloader, seed=seed)
    chosen = list(islice(iter(loader), count))
    seed_everything(derive_seed(seed, "model"))
    return chosen
