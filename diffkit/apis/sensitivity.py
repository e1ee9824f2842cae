"""Ranking what can be removed from a model's UNet, on the data of a config."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffkit.apis.configs import load_config
from diffkit.apis.quantization_sensitivity import layer_lines, rank_layers
from diffkit.apis.sensitivity_data import chosen_batches

if TYPE_CHECKING:
    from mmengine.config import Config

#: What the units are ranked by: the key, and whether small values matter least.
RANKED_BY = {"loss": True, "output": True, "picture": False}
_KEYS = {"loss": "loss", "output": "output_error", "picture": "psnr"}


def measure_sensitivity(
    config: "str | Path | Config",
    *,
    what: str = "blocks",
    batches: int = 8,
    pictures: int | None = None,
    by: str | None = None,
    out: str | Path | None = None,
    cfg_options: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Skips each removable part of the UNet in turn, or rounds each layer, without training, and ranks them.

    Args:
        config: a config file, the name of a config that comes with diffkit, or a loaded config: its model, without
            its pruner, distiller, tuners and, for blocks, quantizer, and its training data.
        what: ``blocks`` are removed; ``quantization`` quantises only one layer, and all but one.
        batches: of the training data, at least 1.
        pictures: how many are painted for each part, from prompts of the data; 0 paints none. None: 4 for blocks, and
            for layers where they are ranked by them.
        by: for blocks ``loss`` (of the task), ``output`` (distance to the whole UNet's; the default) or ``picture``
            (PSNR to its pictures); for layers see :func:`~diffkit.apis.quantization_sensitivity.rank_layers`, by
            default ``only``.
        out: a JSON file for the ranking, which ``BlockRemoval.ranking_file`` or ``QATQuantizer.ranking_file`` reads.
        cfg_options: values that replace those of the config, by dotted key.

    Returns:
        What the file holds: ``about``, ``whole`` and ``ranking``, the parts that matter least first.

    Raises:
        ConfigError: the config has faults; the message lists all.
        ValueError: an argument is not valid.
    """
    if what not in ("blocks", "quantization"):
        raise ValueError(f"what is {what!r}; allowed: blocks, quantization.")
    by = by or ("output" if what == "blocks" else "only")
    if pictures is None:
        pictures = 4 if what == "blocks" or by == "picture" else 0
    if batches < 1 or pictures < 0:
        raise ValueError(f"batches is {batches} and pictures {pictures}; at least 1 and 0 are needed.")
    rank = rank_layers if what == "quantization" else _rank_blocks
    result = rank(load_config(config, cfg_options=cfg_options), batches, pictures, by)
    if out is not None:
        path = Path(out).expanduser()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return result


def _rank_blocks(cfg: "Config", batches: int, pictures: int, by: str) -> dict[str, Any]:
    if by not in RANKED_BY or (by == "picture" and not pictures):
        raise ValueError(f"by is {by!r}; allowed: {', '.join(RANKED_BY)}, and picture needs pictures above 0.")
    measured, units = _prepare(cfg, batches, pictures)
    ranking = [{"name": unit.name, "remove": list(unit.remove), "parameters": unit.parameters, **measured.of(unit)}
               for unit in units]
    ranking.sort(key=lambda entry: entry[_KEYS[by]] * (1 if RANKED_BY[by] else -1))
    return {
        "about": {"model": str(cfg.model.get("pretrained")), "samples": measured.samples, "pictures": pictures,
                  "ranked_by": by},
        "whole": {"parameters": sum(value.numel() for value in measured.unet.parameters()), "loss": measured.whole()},
        "ranking": ranking}


def ranking_lines(result: dict[str, Any]) -> list[str]:
    """A ranking as lines of text."""
    if result["about"].get("what") == "quantization":
        return layer_lines(result)
    about, whole, ranking = result["about"], result["whole"], result["ranking"]
    width = max(len(entry["name"]) for entry in ranking)
    lines = [f"{about['model']}: {whole['parameters']:,} UNet weights, loss {whole['loss']:.4f} "
             f"(n = {about['samples']}); what matters least comes first, by {about['ranked_by']}",
             f"{'without':{width}}  weights less  loss more  output error" + ("  PSNR" if about["pictures"] else "")]
    for entry in ranking:
        line = (f"{entry['name']:{width}}  {entry['parameters'] / whole['parameters']:11.1%}  "
                f"{entry['loss'] - whole['loss']:+9.4f}  {entry['output_error']:12.4f}")
        lines.append(line + (f"  {entry['psnr']:4.1f}" if "psnr" in entry else ""))
    return lines


def _prepare(cfg: "Config", batches: int, pictures: int) -> tuple[Any, Any]:
    """The measurement and the units of a config's model."""
    from diffkit.evaluation.sensitivity import Sensitivity
    from diffkit.models.pruners.units import removable_units
    from diffkit.registry import MODELS
    from diffkit.utils.device import choose_device

    chosen = chosen_batches(cfg, batches)
    slots = {"pruner": None, "distiller": None, "quantizer": None, "tuners": {"unet": {"type": "FullTuner"}}}
    model = MODELS.build({**cfg.model, **slots}).to(choose_device())
    chosen = [model.data_preprocessor(batch) for batch in chosen]  # moves them there
    prompts = [prompt for batch in chosen for prompt in batch["prompt"] if prompt][:pictures]
    measured = Sensitivity(model, chosen, prompts, seeds=range(len(prompts)))
    return measured, removable_units(measured.unet)
