"""Files of kohya's programs and of LyCORIS, read as adapters of PEFT."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from diffkit.export.kohya import Adapter
from diffkit.export.kohya_names import kohya_name
from diffkit.export.tensors import read_tensors
from diffkit.utils.near import did_you_mean

#: Ends of names in a file, PEFT's names for them, and the kind that they belong to.
_LOHA = ("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b", "hada_t1", "hada_t2")
_LOKR = ("lokr_w1", "lokr_w1_a", "lokr_w1_b", "lokr_w2", "lokr_w2_a", "lokr_w2_b", "lokr_t2")
_ENDS = {"lora_down.weight": ("lora_A.weight", "LORA"), "lora_up.weight": ("lora_B.weight", "LORA"),
         **{name: (name, "LOHA") for name in _LOHA}, **{name: (name, "LOKR") for name in _LOKR}}
Parts = dict[str, Tensor]


def read_kohya(path: Path, components: Mapping[str, nn.Module], sdxl: bool) -> list[Adapter]:
    """Reads a file of kohya's or LyCORIS' for the networks of a pipeline.

    Args:
        path: a safetensors file.
        components: the networks, by their names in the pipeline; they may lie on the meta device.
        sdxl: it is a pipeline of Stable Diffusion XL.

    Raises:
        ValueError: the file holds something else, or was made for another model.
    """
    known = {name: place for component in ("unet", "text_encoder", "text_encoder_2") if component in components
             for name, place in _names(component, components[component], sdxl)}
    found: dict[str, dict[str, Parts]] = {}
    for key, value in read_tensors(path).items():
        name, _, end = key.partition(".")
        if not name.startswith("lora_") or (end not in _ENDS and end != "alpha"):
            raise ValueError(f"{path}: {key!r} is none of what a LoRA, LoHa or LoKr of kohya's or LyCORIS holds"
                             f"{did_you_mean(end, [*_ENDS, 'alpha'])}.")
        if name not in known:
            raise ValueError(f"{path} was made for another model: there is no layer for {name!r}"
                             f"{did_you_mean(name, known)}")
        component, layer = known[name]
        found.setdefault(component, {}).setdefault(layer, {})[end] = value
    if not found:
        raise ValueError(f"{path} holds nothing.")
    return [_adapter(path, component, components[component], layers) for component, layers in found.items()]


def _names(component: str, module: nn.Module, sdxl: bool) -> Iterator[tuple[str, tuple[str, str]]]:
    """What a file may call the layers of a network; of SDXL's UNet the names of diffusers are found too."""
    per_block = getattr(module.config, "layers_per_block", 2)
    for name, layer in module.named_modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            if sdxl and component == "unet":
                yield kohya_name(component, name, False), (component, name)
            with suppress(ValueError):  # a layer that no file can name
                yield kohya_name(component, name, sdxl, per_block), (component, name)


def _adapter(path: Path, component: str, module: nn.Module, layers: Mapping[str, Parts]) -> Adapter:
    """PEFT's config and tensors of one component."""
    import peft

    kinds = {_ENDS[end][1] for parts in layers.values() for end in parts if end != "alpha"}
    if len(kinds) != 1:
        raise ValueError(f"{path} holds several kinds of adapters for {component}: {', '.join(sorted(kinds))}.")
    kind = kinds.pop()
    whole = {layer: parts for layer, parts in layers.items() if _rank(parts) is None}
    ranks = {layer: _rank(parts) or _least_rank(parts) for layer, parts in layers.items()}
    alphas = {layer: float(ranks[layer]) if layer in whole else _alpha(parts, ranks[layer])
              for layer, parts in layers.items()}
    rank, alpha = _commonest(ranks.values()), _commonest(alphas.values())
    common = {"r": rank, "target_modules": sorted(layers),
              "rank_pattern": {re.escape(layer): each for layer, each in ranks.items() if each != rank},
              "alpha_pattern": {re.escape(layer): each for layer, each in alphas.items() if each != alpha}}
    if kind == "LORA":
        config: Any = peft.LoraConfig(lora_alpha=alpha, **common)  # type: ignore[arg-type]
    elif kind == "LOHA":
        config = peft.LoHaConfig(alpha=alpha, use_effective_conv2d=_any(layers, "hada_t1"), **common)  # type: ignore
    else:
        config = peft.LoKrConfig(  # type: ignore[call-arg]
            alpha=alpha, use_effective_conv2d=_any(layers, "lokr_t2"), decompose_both=_any(layers, "lokr_w1_a"),
            decompose_factor=_factor(path, module, layers), **common)  # type: ignore[arg-type]
    tensors = {f"{layer}.{_ENDS[end][0]}": value for layer, parts in layers.items()
               for end, value in parts.items() if end != "alpha"}
    return Adapter(component, config, tensors)


def _any(layers: Mapping[str, Parts], end: str) -> bool:
    return any(end in parts for parts in layers.values())


def _commonest(values: Any) -> Any:
    return Counter(values).most_common(1)[0][0]


def _rank(parts: Parts) -> int | None:
    """The rank that the shapes tell; None of a LoKr without low-rank factors."""
    for end in ("lora_down.weight", "hada_w1_b", "lokr_w2_b", "lokr_w1_b"):
        if end in parts:
            return len(parts[end])
    return None


def _least_rank(parts: Parts) -> int:
    """A rank from which on PEFT does not split the matrices of a LoKr."""
    return max(1, *(side for end in ("lokr_w1", "lokr_w2") if end in parts for side in parts[end].shape[:2]))


def _alpha(parts: Parts, rank: int) -> float:
    """A file without alpha means the rank itself."""
    return float(parts["alpha"]) if "alpha" in parts else float(rank)


def _factor(path: Path, module: nn.Module, layers: Mapping[str, Parts]) -> int:
    """The ``decompose_factor`` that splits all layers as the file has them."""
    from peft.tuners.lokr.layer import factorization

    sides: list[tuple[Sequence[int], tuple[int, int]]] = []
    for layer, parts in layers.items():
        weight: Any = module.get_submodule(layer).weight
        first = len(parts.get("lokr_w1_a", parts.get("lokr_w1", ())))
        last = parts.get("lokr_w1_b", parts.get("lokr_w1"))
        if not first or last is None:
            raise ValueError(f"{path} lacks the first matrix of {layer!r}.")
        sides.append((weight.shape[:2], (first, last.shape[1])))
    for factor in (-1, *sorted({side for _, pair in sides for side in pair})):
        if all(tuple(factorization(side, factor)[0] for side in shape) == pair for shape, pair in sides):
            return factor
    raise ValueError(f"{path}: no decompose_factor of PEFT splits all layers as this LoKr does.")
