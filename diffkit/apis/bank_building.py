"""Fills the bank of a config's teacher before the training, so that the training never loads the teacher."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffkit.apis.configs import load_config

if TYPE_CHECKING:
    from mmengine.config import Config


def build_bank(
    config: "str | Path | Config", *, processes: int = 1, cfg_options: dict[str, Any] | None = None
) -> dict[str, int]:
    """Goes through the steps of a training, and asks the teacher for all that they will need and the bank lacks.

    The draws of a training follow from its seed, so these are exactly the outputs that it asks for. A run that was
    broken off goes on where it was.

    Args:
        config: a config file, the name of a config that comes with diffkit, or a loaded config, whose distiller has a
            ``bank``.
        processes: of the training, 1 or more.
        cfg_options: values that replace those of the config, by dotted key.

    Returns:
        ``there``: outputs that the bank held before, and ``made``.

    Raises:
        ConfigError: the config has faults; the message lists all.
        ValueError: it has no bank.
    """
    if processes < 1:
        raise ValueError(f"processes must be at least 1, got {processes}")
    cfg = load_config(config, cfg_options=cfg_options)
    if cfg.get("train_dataloader") is None or (cfg.model.get("distiller") or {}).get("bank") is None:
        raise ValueError("config: it has no model.distiller.bank, or no training data: nothing is to be made")

    import torch

    from diffkit.engine import Runner
    from diffkit.engine.seeding import derive_seed, seed_everything
    from diffkit.registry import MODELS
    from diffkit.utils.device import choose_device

    seed = int(cfg.get("randomness", {}).get("seed") or 0)
    seed_everything(derive_seed(seed, "data"))
    loader: Any = Runner.build_dataloader(cfg.train_dataloader, seed=seed)
    loader.sampler.world_size = processes  # a sampler of buckets deals out whole batches to the ranks
    seed_everything(derive_seed(seed, "model"))
    model: Any = MODELS.build(cfg.model).to(choose_device())
    bank = model.distiller.bank
    there, kind = len(bank), cfg.optim_wrapper.get("dtype")
    mixed = kind not in (None, "float32")
    with torch.no_grad(), torch.autocast(model.device.type, getattr(torch, kind if mixed else "bfloat16"), mixed):
        for step in range(cfg.train_cfg.max_iters):
            for rank in range(processes):
                first = (step * processes * loader.batch_size) + rank
                draws = [loader.sampler.draw(first + i * processes) for i in range(loader.batch_size)]
                batch = model.data_preprocessor(loader.collate_fn([loader.dataset[draw] for draw in draws]))
                seed_everything(derive_seed(seed, "step", step, rank))
                bank.ask(model.objective.prepare(model, batch))
    bank.flush()
    return {"there": there, "made": len(bank) - there}
