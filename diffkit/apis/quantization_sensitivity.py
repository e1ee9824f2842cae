"""Ranking a UNet's layers by what their rounding costs, on the data of a config with a quantizer."""

from typing import TYPE_CHECKING, Any

from diffkit.apis.sensitivity_data import chosen_batches

if TYPE_CHECKING:
    from mmengine.config import Config

#: What the layers are ranked by: the key, and whether small values matter least.
RANKED_BY = {"only": ("only", True), "without": ("without", False), "picture": ("psnr", False)}


def rank_layers(cfg: "Config", batches: int, pictures: int, by: str) -> dict[str, Any]:
    """Calibrates the model of a config, and quantises one layer, and all but one, in turn.

    Args:
        cfg: its model, without its pruner, distiller and tuners, and its training data.
        batches: of the training data, at least 1.
        pictures: how many are painted for each layer; 0 paints none. The ranges are found on as many prompts, and on
            8 at least.
        by: ``only`` (error when a layer alone is quantised), ``without`` (all but it) or ``picture`` (PSNR with all
            but it).

    Returns:
        ``about``, ``whole`` and ``ranking``, the layers that matter least first.

    Raises:
        ValueError: the config has no quantizer that rounds layer by layer, or an argument is not valid.
    """
    if by not in RANKED_BY or (by == "picture" and not pictures):
        raise ValueError(f"by is {by!r}; allowed: {', '.join(RANKED_BY)}, and picture needs pictures above 0.")
    measured = _prepare(cfg, batches, pictures)
    key, small_first = RANKED_BY[by]
    ranking = [{"name": name, "parameters": layer.plain_layer.weight.numel(), "weight_bits": layer.weight_bits,
                "activation_bits": layer.input_bits, **measured.of(name)}
               for name, layer in measured.layers.items()]
    ranking.sort(key=lambda entry: entry[key] * (1 if small_first else -1))
    whole = {"error": measured.error(list(measured.layers))}
    if pictures:
        whole["psnr"] = measured.psnr(list(measured.layers))
    return {
        "about": {"what": "quantization", "model": str(cfg.model.get("pretrained")), "samples": measured.samples,
                  "pictures": pictures, "ranked_by": by},
        "whole": whole, "ranking": ranking}


def layer_lines(result: dict[str, Any]) -> list[str]:
    """A ranking of layers as lines of text."""
    about, whole, ranking = result["about"], result["whole"], result["ranking"]
    width = max(len(entry["name"]) for entry in ranking)
    all_of_them = f"; PSNR {whole['psnr']:.1f}" if "psnr" in whole else ""
    lines = [f"{about['model']}: error {whole['error']:.2e} of the float output's square with all {len(ranking)} "
             f"layers quantised{all_of_them} (n = {about['samples']}); what matters least comes first, by "
             f"{about['ranked_by']}",
             f"{'layer':{width}}  bits   only it   all but it" + ("  PSNR" if about["pictures"] else "")]
    for entry in ranking:
        inputs = entry["activation_bits"] or "-"
        line = (f"{entry['name']:{width}}  {entry['weight_bits']}/{inputs}   {entry['only']:.2e}  "
                f"{entry['without']:.2e}")
        lines.append(line + (f"  {entry['psnr']:4.1f}" if "psnr" in entry else ""))
    return lines


def _prepare(cfg: "Config", batches: int, pictures: int) -> Any:
    from diffkit.engine.seeding import preserved_randomness
    from diffkit.evaluation.quantization_sensitivity import QuantizationSensitivity
    from diffkit.registry import MODELS
    from diffkit.utils.device import choose_device

    if not cfg.model.get("quantizer"):
        raise ValueError(f"config: {cfg.filename} has no model.quantizer: there are no layers to rank.")
    chosen = chosen_batches(cfg, batches)
    slots = {"pruner": None, "distiller": None, "tuners": {"unet": {"type": "FullTuner"}}}
    model = MODELS.build({**cfg.model, **slots}).to(choose_device())
    if not hasattr(model.quantizer, "layers"):
        raise ValueError(f"config: {type(model.quantizer).__name__} does not round layer by layer.")
    chosen = [model.data_preprocessor(batch) for batch in chosen]
    prompts = [prompt for batch in chosen for prompt in batch["prompt"] if prompt]
    with preserved_randomness():
        model.quantizer.calibrate(model, prompts[:max(8, pictures)])
    return QuantizationSensitivity(model, chosen, prompts[:pictures], seeds=range(len(prompts[:pictures])))
