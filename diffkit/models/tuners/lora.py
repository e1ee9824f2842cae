"""Adapters beside frozen weights, through PEFT: LoRA (Hu et al. 2021) and its kin."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from diffkit.export.artifacts import AdapterArtifact, Artifact
from diffkit.models.tuners.adapter_kinds import (
    FLAGS,
    KINDS,
    LEAST,
    OFT_BLOCK,
    OPTIONS,
    PATTERNS,
    SHARES,
    peft_config,
)
from diffkit.models.tuners.base import Tuner
from diffkit.registry import TUNERS
from diffkit.utils.near import did_you_mean
from diffkit.utils.neural_compressor import leave_neural_compressor_out

if TYPE_CHECKING:
    from diffkit.models.latent_diffusion import LatentDiffusion

#: Where the references put their adapters: the attention layers of each component.
DEFAULT_TARGETS = {"unet": ("to_q", "to_k", "to_v", "to_out.0"),
                   "text_encoder": ("q_proj", "k_proj", "v_proj", "out_proj"),
                   "text_encoder_2": ("q_proj", "k_proj", "v_proj", "out_proj")}


@TUNERS.register_module()
class LoRATuner(Tuner):
    """Adds adapters to chosen layers and trains them alone. They begin without effect: step 0 is the base model.

    Args:
        component: ``unet``, ``text_encoder`` or ``text_encoder_2``.
        kind: ``lora``, ``dora``, ``loha``, ``lokr`` or ``oft``; see :mod:`~diffkit.models.tuners.adapter_kinds`.
        rank: rank of the update, at least 1; 8 where None. ``oft`` has none, but ``oft_block_size``.
        alpha: strength; ``rank`` where None, so that the factor ``alpha / rank`` is 1. ``oft`` has none.
        target_modules: endings of layer names, or one regular expression; None takes the attention layers.
        dropout: probability that an adapter's input is dropped, in [0, 1); ``lora`` and ``dora`` alone.
        init: of ``lora`` and ``dora``, how A begins: ``gaussian`` with standard deviation 1/rank, as in the scripts of
            diffusers and where None, or ``kaiming``, PEFT's default. B begins at zero.
        export_kohya: also write ``kohya.safetensors``, for A1111 and ComfyUI; ``lora``, ``loha`` and ``lokr`` alone.
        options: further options of the kind by PEFT's own names: ``dict(decompose_factor=4)`` for ``lokr`` …
    """

    adapter = "default"

    def __init__(self, component: str = "unet", kind: str = "lora", rank: int | None = None,
                 alpha: float | None = None, target_modules: Sequence[str] | str | None = None, dropout: float = 0.0,
                 init: str | None = None, export_kohya: bool = False,
                 options: dict[str, Any] | None = None) -> None:
        super().__init__(component)
        if kind not in KINDS:
            raise ValueError(f"LoRATuner: kind is {kind!r}{did_you_mean(kind, KINDS)}")
        if kind == "oft" and rank is not None:
            raise ValueError("LoRATuner: rank is not an option of oft: set options=dict(oft_block_size=…).")
        if kind == "oft" and alpha is not None:
            raise ValueError("LoRATuner: alpha is not an option of oft: a rotation has no strength.")
        if rank is not None and rank < 1:
            raise ValueError(f"LoRATuner: rank is {rank}; it must be 1 or more.")
        if not 0 <= dropout < 1:
            raise ValueError(f"LoRATuner: dropout is {dropout}; it must be in [0, 1).")
        if kind not in ("lora", "dora") and dropout:
            raise ValueError(f"LoRATuner: dropout is not an option of {kind}; loha and lokr have rank_dropout and "
                             "module_dropout among their options.")
        if init not in (None, "gaussian", "kaiming"):
            raise ValueError(f"LoRATuner: init is {init!r}; it must be 'gaussian' or 'kaiming'.")
        if kind not in ("lora", "dora") and init is not None:
            raise ValueError(f"LoRATuner: init is not an option of {kind}, which has one way to begin.")
        if kind in ("dora", "oft") and export_kohya:
            raise ValueError(f"LoRATuner: export_kohya is not an option of {kind}: programs that read files of kohya's "
                             "take it in different ways or not at all. Merge it into a pipeline.")
        if target_modules is None:
            if component not in DEFAULT_TARGETS:
                raise ValueError(f"LoRATuner: component {component!r} has no default target_modules; name them.")
            target_modules = DEFAULT_TARGETS[component]
        _check_options(kind, options or {})
        self.kind, self.rank, self.dropout, self.init = kind, rank or 8, dropout, init or "gaussian"
        self.alpha = self.rank if alpha is None else alpha
        self.target_modules = target_modules if isinstance(target_modules, str) else list(target_modules)
        self.export_kohya = export_kohya
        self.options = dict(options or {})

    def apply(self, model: "LatentDiffusion") -> None:
        self.check(model.components)
        leave_neural_compressor_out()
        module: Any = self.module(model)
        before = {id(parameter): parameter.requires_grad for parameter in module.parameters()}
        module.add_adapter(peft_config(self.kind, self.target_modules, self.rank, self.alpha, self.dropout, self.init,
                                       self.options), self.adapter)
        for parameter in module.parameters():
            is_new = id(parameter) not in before
            if is_new:
                parameter.data = parameter.data.to(torch.float32)  # trained weights stay fp32 under mixed precision
            parameter.requires_grad_(is_new or before[id(parameter)])

    def check(self, components: Mapping[str, nn.Module]) -> None:
        """PEFT is content when one of several targets matches; a target that matches nothing is a mistake."""
        module = self.pick(components)
        layers = {name: layer for name, layer in module.named_modules() if isinstance(layer, (nn.Linear, nn.Conv2d))}
        targets = [self.target_modules] if isinstance(self.target_modules, str) else self.target_modules
        lost = [target for target in targets if not any(self._matches(target, name) for name in layers)]
        if lost:
            endings = {ending for name in layers for ending in _endings(name)}
            raise ValueError(" ".join(f"LoRATuner: target_modules: no layer of {self.component!r} matches {target!r}"
                                      f"{did_you_mean(target, endings)}" for target in lost))
        if self.kind == "oft":
            self._check_blocks({name: layer for name, layer in layers.items()
                                if any(self._matches(target, name) for target in targets)})

    def _matches(self, target: str, name: str) -> bool:
        if isinstance(self.target_modules, str):
            return re.fullmatch(target, name) is not None
        return f".{name}".endswith(f".{target}")

    def _check_blocks(self, layers: Mapping[str, nn.Module]) -> None:
        """OFT turns blocks of inputs: they have to fill a layer, and PEFT cannot turn windows that overlap."""
        size = self.options.get("oft_block_size", OFT_BLOCK)
        for name, layer in layers.items():
            if isinstance(layer, nn.Conv2d) and layer.kernel_size != (1, 1):
                raise ValueError(f"LoRATuner: oft cannot act on {name!r} of {self.component}, a convolution of "
                                 f"{'x'.join(map(str, layer.kernel_size))}: PEFT adds up its overlapping windows, so "
                                 "that step 0 would not be the base model. Take linear layers and 1x1 convolutions.")
            inputs = layer.in_channels if isinstance(layer, nn.Conv2d) else layer.in_features
            if inputs % size:  # type: ignore[operator]
                raise ValueError(f"LoRATuner: oft_block_size is {size}, which does not divide the {inputs} inputs of "
                                 f"{name!r} of {self.component}.")

    def artifact(self, model: "LatentDiffusion") -> Artifact:
        return AdapterArtifact(component=self.component, module=self.module(model), base=model.pretrained,
                               adapter=self.adapter, kohya=self.export_kohya)

    def describe(self) -> str:
        if self.kind == "oft":
            return f"OFT of block size {self.options.get('oft_block_size', OFT_BLOCK)}, on {self.component}"
        name = {"lora": "LoRA", "dora": "DoRA", "loha": "LoHa", "lokr": "LoKr"}[self.kind]
        return f"{name} of rank {self.rank}, alpha {self.alpha:g}, on {self.component}"

    @contextmanager
    def disabled(self, model: "LatentDiffusion") -> Iterator[None]:
        module: Any = self.module(model)
        module.disable_adapters()
        try:
            yield
        finally:
            module.enable_adapters()


def _check_options(kind: str, options: Mapping[str, Any]) -> None:
    """Refuses options that the kind does not have, and values that cannot be."""
    for name, value in options.items():
        where = f"LoRATuner: options: {name}"
        if name not in OPTIONS[kind]:
            raise ValueError(f"{where} is not an option of {kind}{did_you_mean(name, OPTIONS[kind])}")
        if name in FLAGS and not isinstance(value, bool):
            raise ValueError(f"{where} is {value!r}; it must be True or False.")
        if name in LEAST and (not isinstance(value, int) or value < LEAST[name]):
            raise ValueError(f"{where} is {value!r}; it must be a whole number, {LEAST[name]} or more.")
        if name in SHARES and not (isinstance(value, (int, float)) and 0 <= value < 1):
            raise ValueError(f"{where} is {value!r}; it must be a number in [0, 1).")
        if name in PATTERNS and not isinstance(value, dict):
            raise ValueError(f"{where} is {value!r}; it must be a dict: a pattern of layer names, and its number.")
        if name == "eps" and not (isinstance(value, (int, float)) and value > 0):
            raise ValueError(f"{where} is {value!r}; it must be a number above 0.")
        if name == "exclude_modules" and not isinstance(value, (str, list, tuple)):
            raise ValueError(f"{where} is {value!r}; it must be a list of endings or a regular expression.")


def _endings(name: str) -> list[str]:
    """The last name of a layer, and the last two where the last is a number (``to_out.0``)."""
    parts = name.split(".")
    return [".".join(parts[-2:]) if parts[-1].isdigit() else parts[-1]]
