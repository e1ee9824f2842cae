"""A whole pipeline as one safetensors file, in the layout that Stable Diffusion was published in."""

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from diffkit.export.merge import merged_copy
from diffkit.export.single_file_names import openclip_tensors, unet_names, vae_names, vae_value
from diffkit.export.tensors import save_tensors

_WIDTH_OF_SD2 = 1024


def write_single_file(pipe: Any, path: Path) -> Path:
    """Writes UNet, VAE and text encoders; ``from_single_file`` of diffusers reads them, and A1111 and ComfyUI do.

    The file says nothing of the structure: for models that are not of the anatomy of Stable Diffusion 1 or SDXL,
    ``from_single_file`` needs ``config=`` with a folder that does.

    Args:
        pipe: of Stable Diffusion 1 or SDXL; its adapters are merged in what is written.
        path: ``.safetensors``.

    Returns:
        The file.

    Raises:
        ValueError: the layout has no place for something that the pipeline holds.
    """
    if fault := _fault(pipe):
        raise ValueError(f"no single file can be written: {fault}.")
    path.parent.mkdir(parents=True, exist_ok=True)
    save_tensors(single_file_tensors(pipe), path)
    return path


def single_file_tensors(pipe: Any) -> dict[str, Tensor]:
    """All weights of a pipeline by their names in a single file."""
    rename = unet_names(pipe.unet.config)
    found = {f"model.diffusion_model.{rename(name)}": value for name, value in _weights(pipe.unet).items()}
    rename = vae_names(pipe.vae.config)
    found |= {f"first_stage_model.{rename(name)}": vae_value(name, value)
              for name, value in _weights(pipe.vae).items()}
    second = getattr(pipe, "text_encoder_2", None)
    place = "cond_stage_model" if second is None else "conditioner.embedders.0"
    found |= {f"{place}.transformer.text_model.{name.removeprefix('text_model.')}": value
              for name, value in _weights(pipe.text_encoder).items()}
    if second is not None:
        found |= {f"conditioner.embedders.1.model.{name}": value
                  for name, value in openclip_tensors(_weights(second)).items()}
    return found


def _weights(module: nn.Module) -> dict[str, Tensor]:
    return dict(merged_copy(module).state_dict())


def _fault(pipe: Any) -> str:
    """Why a pipeline has no place in the layout; an empty text where it has."""
    from diffkit.export.quantized.layers import quantized_layers

    second = getattr(pipe, "text_encoder_2", None)
    if quantized_layers(pipe.unet):
        return "the UNet is quantised, and programs that read such files know no integers"
    if pipe.unet.config.get("mid_block_type") is None:
        return "the UNet has no middle block"
    if not isinstance(layers := pipe.unet.config["layers_per_block"], int):  # names count with one number
        return f"the levels of the UNet have different numbers of layers ({', '.join(map(str, layers))})"
    if second is None and pipe.unet.config.cross_attention_dim == _WIDTH_OF_SD2:
        return "it is Stable Diffusion 2; 1 and SDXL are written"
    if second is not None and pipe.text_encoder.config.hidden_size == second.config.hidden_size:
        return "the two text encoders are of one width, by which diffusers tells them apart"
    for name in ("tokenizer", "tokenizer_2"):
        tokenizer = getattr(pipe, name, None)
        words = set() if tokenizer is None else set(tokenizer.get_added_vocab()) - set(tokenizer.all_special_tokens)
        if words:
            return (f"the learned words {', '.join(sorted(words))} need a tokenizer, and a single file has none. Use "
                    "--to pipeline")
    return ""
