"""LoRA, LoHa and LoKr in the format of kohya's programs and of LyCORIS, which A1111 and ComfyUI read.

Each layer has its factors and ``alpha``; a reader multiplies the update with ``alpha / rank`` and takes the rank from
the shapes. What differs from PEFT is written so that this gives the same: the strength of rank-stabilised LoRA goes
into alpha, and that of a LoKr without low-rank factors, which has no alpha in LyCORIS, into one of its matrices.

DoRA and OFT have no file here. Programs disagree on the axis of DoRA's lengths, and diffusers leaves them out; PEFT's
OFT turns the inputs of a layer and LyCORIS' the outputs.
"""

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from diffkit.export.artifacts import AdapterArtifact
from diffkit.export.kohya_names import kohya_name
from diffkit.export.peft_adapter import adapter_tensors
from diffkit.export.tensors import save_tensors
from diffkit.version import __version__

KINDS = ("LORA", "LOHA", "LOKR")
#: What a step folder calls the file.
KOHYA_FILE = "kohya.safetensors"
#: Ends of PEFT's names of tensors, and what LyCORIS calls them; those of LoHa and LoKr are the same.
_ENDS = {"lora_A.weight": "lora_down.weight", "lora_B.weight": "lora_up.weight"}
_KEY = re.compile(r"(?:base_model\.model\.)?(.+)\.(lora_[AB]\.weight|hada_\w+|lokr_\w+)")
_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class Adapter:
    """An adapter as PEFT saves it.

    Attributes:
        component: the component's name in a pipeline.
        config: PEFT's config of it.
        tensors: PEFT's names and tensors.
    """

    component: str
    config: Any
    tensors: Mapping[str, Tensor]


def adapter_of(artifact: AdapterArtifact) -> Adapter:
    """The live adapter of a training."""
    config: Any = artifact.module.peft_config[artifact.adapter]  # type: ignore[union-attr, index]
    return Adapter(artifact.component, config, adapter_tensors(artifact))


def write_kohya_artifacts(artifacts: Sequence[AdapterArtifact], pipe: Any, folder: Path) -> list[Path]:
    """Writes those adapters of a training that ask for it into ``kohya.safetensors``, under the training's name."""
    adapters = [adapter_of(artifact) for artifact in artifacts if artifact.kohya]
    if not adapters:
        return []
    config = pipe.unet.config
    sdxl = "text_encoder_2" in pipe.components
    return [write_kohya(
        adapters, folder / KOHYA_FILE, sdxl=sdxl, base=artifacts[0].base, layers_per_block=config.layers_per_block,
        v2=not sdxl and config.cross_attention_dim == 1024, title=folder.resolve().parent.name)]


def write_kohya(adapters: Sequence[Adapter], path: Path, *, sdxl: bool, base: str | None, layers_per_block: int = 2,
                dtype: str = "float32", v2: bool = False, title: str | None = None) -> Path:
    """Writes adapters of UNet and text encoders into one file, with the metadata that A1111 and ComfyUI show.

    Args:
        adapters: at most one for each component, all of one kind.
        path: the file; its folder has to be there.
        sdxl: they were trained on Stable Diffusion XL.
        base: what they were trained on, as the user named it.
        layers_per_block: of the UNet's config.
        dtype: ``float32``, ``float16`` or ``bfloat16``, in which the file holds them.
        v2: they were trained on Stable Diffusion 2.
        title: what programs show; None takes the name of the file.

    Raises:
        ValueError: the format has no place for them.
    """
    if dtype not in _DTYPES:
        raise ValueError(f"dtype is {dtype!r}; allowed: {', '.join(_DTYPES)}.")
    tensors = {}
    for adapter in adapters:
        _check(adapter)
        tensors.update(kohya_tensors(adapter, sdxl, layers_per_block))
    kinds = {adapter.config.peft_type.value for adapter in adapters}
    if len(kinds) != 1:
        raise ValueError(f"a file of kohya's holds adapters of one kind, not {', '.join(sorted(kinds)) or 'none'}.")
    tensors = {name: value.detach().to("cpu", _DTYPES[dtype]).contiguous() for name, value in tensors.items()}
    save_tensors(tensors, path, _metadata(adapters, tensors, title or path.stem, sdxl, v2, base))
    return path


def _check(adapter: Adapter) -> None:
    kind = adapter.config.peft_type.value
    if kind not in KINDS or getattr(adapter.config, "use_dora", False):
        name = "DoRA" if kind == "LORA" else kind
        raise ValueError(f"the adapter of {adapter.component!r} is of the kind {name}, which programs that read files "
                         "of kohya's take in different ways or not at all: merge it into a pipeline instead "
                         "(diffkit merge_adapters), or train lora, loha or lokr.")


def kohya_tensors(adapter: Adapter, sdxl: bool, layers_per_block: int = 2) -> dict[str, Tensor]:
    """The tensors of one adapter by kohya's names.

    Raises:
        ValueError: a tensor or layer has no place in the format.
    """
    layers: dict[str, dict[str, Tensor]] = {}
    for key, value in adapter.tensors.items():
        match = _KEY.fullmatch(key)
        if match is None:
            raise ValueError(f"{key!r} of the adapter of {adapter.component!r} has no place in a file of kohya's.")
        layers.setdefault(match[1], {})[match[2]] = value
    tensors = {}
    for layer, parts in layers.items():
        scale = _scale(adapter.config, layer)
        dim = _dim(parts)
        if dim is None:  # LoKr of two whole matrices: alpha does not count
            parts = {**parts, "lokr_w1": parts["lokr_w1"].float() * scale}
            dim, scale = 1, 1.0
        name = kohya_name(adapter.component, layer, sdxl, layers_per_block)
        tensors.update({f"{name}.{_ENDS.get(part, part)}": value for part, value in parts.items()})
        tensors[f"{name}.alpha"] = torch.tensor(scale * dim)
    return tensors


def _dim(parts: Mapping[str, Tensor]) -> int | None:
    """The rank that a reader sees, or None."""
    for part in ("lora_A.weight", "hada_w1_b", "lokr_w2_b", "lokr_w1_b"):
        if part in parts:
            return len(parts[part])
    return None


def _scale(config: Any, layer: str) -> float:
    """What PEFT multiplies the update of a layer with."""
    from peft.utils.other import get_pattern_key

    ranks, alphas = config.rank_pattern or {}, config.alpha_pattern or {}
    rank = ranks.get(get_pattern_key(ranks.keys(), layer), config.r)
    alpha = alphas.get(get_pattern_key(alphas.keys(), layer), _alpha(config))
    return float(alpha / math.sqrt(rank) if getattr(config, "use_rslora", False) else alpha / rank)


def _alpha(config: Any) -> float:
    return float(getattr(config, "lora_alpha", None) or config.alpha)


def _metadata(adapters: Sequence[Adapter], tensors: Mapping[str, Tensor], title: str, sdxl: bool, v2: bool,
              base: str | None) -> dict[str, str]:
    """What other programs read of the header: the model it belongs to, the network, and a hash of the tensors."""
    config = adapters[0].config
    kind = config.peft_type.value
    architecture = "stable-diffusion-xl-v1-base" if sdxl else f"stable-diffusion-v{2 if v2 else 1}"
    described = {
        "ss_base_model_version": "sdxl_base_v1-0" if sdxl else "sd_v2" if v2 else "sd_v1",
        "ss_v2": str(v2),
        "ss_network_module": "networks.lora" if kind == "LORA" else "lycoris.kohya",
        "ss_network_dim": str(config.r),
        "ss_network_alpha": f"{_alpha(config):g}",
        "ss_output_name": title,
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.architecture": f"{architecture}/lora",
        "modelspec.title": title,
        "modelspec.implementation": f"diffkit {__version__}",
        "sshs_model_hash": _hash(tensors)}
    if kind != "LORA":
        described["ss_network_args"] = f'{{"algo": "{kind.lower()}"}}'
    return described | ({"ss_sd_model_name": base} if base else {})


def _hash(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of a safetensors file without its header, as A1111 and kohya's programs know a file."""
    from safetensors.torch import save

    content = save(dict(tensors))
    return hashlib.sha256(content[8 + int.from_bytes(content[:8], "little"):]).hexdigest()
