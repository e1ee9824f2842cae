"""What kohya's programs call the layers of a pipeline: ``lora_unet_…``, ``lora_te_…``, ``lora_te1_…``, ``lora_te2_…``.

A file of Stable Diffusion has the names that diffusers gives the layers, with ``_`` for ``.``. One of SDXL has those of
Stability's own UNet (``input_blocks``, ``middle_block``, ``output_blocks``).
"""

import re

_PREFIXES = {False: {"unet": "lora_unet", "text_encoder": "lora_te"},
             True: {"unet": "lora_unet", "text_encoder": "lora_te1", "text_encoder_2": "lora_te2"}}

_IN_RESNET = {"conv1": "in_layers.2", "conv2": "out_layers.3", "time_emb_proj": "emb_layers.1",
              "conv_shortcut": "skip_connection"}
_OUTSIDE = {"conv_in": "input_blocks.0.0", "conv_out": "out.2", "time_embedding.linear_1": "time_embed.0",
            "time_embedding.linear_2": "time_embed.2", "add_embedding.linear_1": "label_emb.0.0",
            "add_embedding.linear_2": "label_emb.0.2"}
_PLACE = re.compile(r"(?:(down|up)_blocks\.(\d+)|mid_block)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.(.*)")


def kohya_name(component: str, layer: str, sdxl: bool, layers_per_block: int = 2) -> str:
    """The name of a layer in a file of kohya's.

    Args:
        component: ``unet``, ``text_encoder`` or ``text_encoder_2``.
        layer: its name inside the component, with dots.
        sdxl: the pipeline is one of Stable Diffusion XL.
        layers_per_block: of the UNet's config; it counts in files of SDXL.

    Raises:
        ValueError: the format has no place for the component or layer.
    """
    if component not in _PREFIXES[sdxl]:
        raise ValueError(f"a file of kohya's has no place for {component!r} of "
                         f"{'Stable Diffusion XL' if sdxl else 'Stable Diffusion'}.")
    if component != "unet":
        layer = layer if layer.startswith(("text_model.", "text_projection")) else f"text_model.{layer}"
    elif sdxl:
        layer = _stability_name(layer, layers_per_block)
    return f"{_PREFIXES[sdxl][component]}_{layer.replace('.', '_')}"


def _stability_name(layer: str, layers_per_block: int) -> str:
    """The layer's name in the UNet of Stability AI; see ``convert_original_stable_diffusion_to_diffusers``."""
    if layer in _OUTSIDE:
        return _OUTSIDE[layer]
    match = _PLACE.fullmatch(layer)
    if match is None:
        raise ValueError(f"a file of kohya's has no place for the layer {layer!r} of SDXL's UNet.")
    side, block, kind, number, rest = match[1], int(match[2] or 0), match[3], int(match[4]), match[5]
    step = layers_per_block + 1
    if kind == "resnets":
        front, _, back = rest.partition(".")
        rest = ".".join(filter(None, [_IN_RESNET.get(front, front), back]))
    if side is None:
        return f"middle_block.{2 * number + (kind == 'attentions')}.{rest}"
    if kind == "downsamplers":
        return f"input_blocks.{step * (block + 1)}.0.op"
    if kind == "upsamplers":
        return f"output_blocks.{step * block + layers_per_block}.2.conv"
    front = f"input_blocks.{step * block + number + 1}" if side == "down" else f"output_blocks.{step * block + number}"
    return f"{front}.{int(kind == 'attentions')}.{rest}"
