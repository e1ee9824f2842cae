"""The names that weights of Stable Diffusion and SDXL have in single files, from their names in diffusers."""

import re
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

_UNET = {
    "time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0", "add_embedding.linear_2": "label_emb.0.2",
    "conv_in": "input_blocks.0.0", "conv_norm_out": "out.0", "conv_out": "out.2",
    "mid_block.resnets.0": "middle_block.0", "mid_block.attentions.0": "middle_block.1",
    "mid_block.resnets.1": "middle_block.2",
}
_RESNET = {"norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1", "norm2": "out_layers.0",
           "conv2": "out_layers.3", "conv_shortcut": "skip_connection"}
_VAE_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
_OPENCLIP = {"layer_norm1": "ln_1", "layer_norm2": "ln_2", "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj",
             "self_attn.out_proj": "attn.out_proj"}
_OPENCLIP_ENDS = {"embeddings.token_embedding.weight": "token_embedding.weight",
                  "embeddings.position_embedding.weight": "positional_embedding",
                  "final_layer_norm.weight": "ln_final.weight", "final_layer_norm.bias": "ln_final.bias"}


def unet_names(config: Mapping[str, Any]) -> Callable[[str], str]:
    """Gives what turns a name of ``UNet2DConditionModel`` into that of a single file, without its prefix."""
    layers = config["layers_per_block"]
    attends = ["CrossAttn" in kind for kind in config["up_block_types"]]
    row = layers + 1  # a level of the way down is its layers and what halves it; one of the way up has one layer more

    def rename(name: str) -> str:
        for ours, theirs in _UNET.items():
            if name.startswith(f"{ours}."):
                return _in_resnet(theirs + name.removeprefix(ours), name)
        way, block, kind, index, rest = _block(name)
        if way == "down" and kind == "downsamplers":
            return f"input_blocks.{(block + 1) * row}.0.op.{rest.removeprefix('conv.')}"
        if kind == "upsamplers":
            return f"output_blocks.{block * row + layers}.{2 if attends[block] else 1}.{rest}"
        place = f"input_blocks.{1 + block * row + index}" if way == "down" else f"output_blocks.{block * row + index}"
        return _in_resnet(f"{place}.{0 if kind == 'resnets' else 1}.{rest}", name)

    return rename


def _block(name: str) -> tuple[str, int, str, int, str]:
    found = re.fullmatch(
        r"(?:\w+\.)?(down|up)_blocks\.(\d+)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.(.+)", name)
    if found is None:
        raise ValueError(f"a single file has no place for {name!r}.")
    return found[1], int(found[2]), found[3], int(found[4]), found[5]


def _in_resnet(renamed: str, name: str) -> str:
    """The same with the names of the layers of a residual block, where it lies in one."""
    if ".resnets." not in name:
        return renamed
    start, layer, end = renamed.rsplit(".", 2)
    return f"{start}.{_RESNET[layer]}.{end}"


def vae_names(config: Mapping[str, Any]) -> Callable[[str], str]:
    """Gives what turns a name of ``AutoencoderKL`` into that of a single file, without its prefix."""
    levels = len(config["block_out_channels"])

    def rename(name: str) -> str:
        side, _, rest = name.partition(".")
        if name.startswith(("quant_conv.", "post_quant_conv.")) or rest.startswith(("conv_in.", "conv_out.")):
            return name
        if rest.startswith("conv_norm_out."):
            return name.replace("conv_norm_out", "norm_out")
        if found := re.fullmatch(r"mid_block\.resnets\.(\d)\.(.+)", rest):
            return f"{side}.mid.block_{int(found[1]) + 1}.{found[2]}".replace("conv_shortcut", "nin_shortcut")
        if found := re.fullmatch(r"mid_block\.attentions\.0\.(.+)\.(weight|bias)", rest):
            return f"{side}.mid.attn_1.{_VAE_ATTENTION[found[1]]}.{found[2]}"
        way, block, kind, index, rest = _block(name)
        place = f"{side}.{way}.{block if way == 'down' else levels - 1 - block}"
        if kind in ("downsamplers", "upsamplers"):
            return f"{place}.{way}sample.{rest}"
        return f"{place}.block.{index}.{rest}".replace("conv_shortcut", "nin_shortcut")

    return rename


def vae_value(name: str, value: Tensor) -> Tensor:
    """The value under a name of diffusers as a single file has it: attention there is of 1 x 1 convolutions."""
    is_linear = ".attentions." in name and ".group_norm." not in name and value.ndim == 2
    return value[:, :, None, None] if is_linear else value


def openclip_tensors(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of SDXL's second text encoder by the names of OpenCLIP, without their prefix."""
    weights = {name.removeprefix("text_model."): value for name, value in weights.items()}
    found: dict[str, Tensor] = {}
    for name, value in weights.items():
        if name in _OPENCLIP_ENDS:
            found[_OPENCLIP_ENDS[name]] = value
        elif name == "text_projection.weight":
            found["text_projection"] = value.T
        elif match := re.fullmatch(r"encoder\.layers\.(\d+)\.(.+)\.(weight|bias)", name):
            place, layer, end = f"transformer.resblocks.{match[1]}", match[2], match[3]
            if layer in _OPENCLIP:
                found[f"{place}.{_OPENCLIP[layer]}.{end}"] = value
            elif layer == "self_attn.q_proj":
                rest = [weights[f"encoder.layers.{match[1]}.self_attn.{part}.{end}"]
                        for part in ("k_proj", "v_proj")]
                found[f"{place}.attn.in_proj_{end}"] = torch.cat([value, *rest])
            elif layer not in ("self_attn.k_proj", "self_attn.v_proj"):
                raise ValueError(f"a single file has no place for {name!r}.")
        elif not name.endswith("position_ids"):
            raise ValueError(f"a single file has no place for {name!r}.")
    return found
