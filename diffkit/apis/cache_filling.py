"""Encodes what a config's training will need before the training, which then runs neither VAE nor text encoder."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffkit.apis.configs import load_config

if TYPE_CHECKING:
    from mmengine.config import Config


def fill_caches(config: "str | Path | Config", *, cfg_options: dict[str, Any] | None = None) -> dict[str, int]:
    """Goes through the draws of a training, and encodes what its caches on disk lack.

    The draws follow from the seed, so these are the pictures, mirrored or not, and the prompts that it asks for. A run
    that was broken off goes on where it was.

    Args:
        config: a config file, the name of a config that comes with diffkit, or a loaded config, with
            ``model.cache_latents="disk"``, ``model.cache_text="disk"`` or both.
        cfg_options: values that replace those of the config, by dotted key.

    Returns:
        ``pictures`` and ``prompts`` that were encoded.

    Raises:
        ConfigError: the config has faults; the message lists all.
        ValueError: it keeps nothing on disk.
    """
    cfg = load_config(config, cfg_options=cfg_options)
    kept = (cfg.model.get("cache_latents"), cfg.model.get("cache_text"))
    if cfg.get("train_dataloader") is None or "disk" not in kept:
        raise ValueError("config: it keeps nothing on disk: set model.cache_latents='disk', model.cache_text='disk' or "
                         "both")

    import torch

    from diffkit.engine import Runner
    from diffkit.engine.seeding import derive_seed, seed_everything
    from diffkit.registry import MODELS
    from diffkit.utils.device import choose_device

    seed = int(cfg.get("randomness", {}).get("seed") or 0)
    seed_everything(derive_seed(seed, "data"))
    loader: Any = Runner.build_dataloader(cfg.train_dataloader, seed=seed)
    seed_everything(derive_seed(seed, "model"))
    model: Any = MODELS.build(cfg.model).to(choose_device())
    kind = cfg.optim_wrapper.get("dtype")
    mixed = kind not in (None, "float32")
    latents, text = (None if cache is None else cache.disk for cache in (model.latent_cache, model.text_cache))
    with torch.no_grad(), torch.autocast(model.device.type, getattr(torch, kind if mixed else "bfloat16"), mixed):
        for number in range(cfg.train_cfg.max_iters * loader.batch_size):
            batch = model.data_preprocessor(loader.collate_fn([loader.dataset[loader.sampler.draw(number)]]))
            if latents is not None:
                model.encode_images(batch["pixel_values"], batch["key"])
            if text is not None:
                model.encode_prompts(batch)
    return {"pictures": 0 if latents is None else latents.made, "prompts": 0 if text is None else text.made}
