"""Low-rank adapters (Hu et al. 2021), through PEFT."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from diffkit.export.artifacts import AdapterArtifact, Artifact
from diffkit.models.tuners.base import Tuner
from diffkit.registry import TUNERS
from diffkit.utils.near import did_you_mean
from diffkit.utils.neural_compressor import hide_broken_neural_compressor

if TYPE_CHECKING:
    from diffkit.models.latent_diffusion import LatentDiffusion

#: Where the references put their adapters: the attention layers of each component.
DEFAULT_TARGETS = {"unet": ("to_q", "to_k", "to_v", "to_out.0"),
                   "text_encoder": ("q_proj", "k_proj", "v_proj", "out_proj"),
                   "text_encoder_2": ("q_proj", "k_proj", "v_proj", "out_proj")}


@TUNERS.register_module()
class LoRATuner(Tuner):
    """Adds ``B A · alpha / rank`` beside chosen layers; B begins at zero, so step 0 is the base model.

    Args:
        component: ``unet``, ``text_encoder`` or ``text_encoder_2``.
        rank: rank of the update, at least 1.
        alpha: strength; ``rank`` where None, so that the factor is 1.
        target_modules: endings of layer names, or one regular expression; None takes the attention layers.
        dropout: probability that an adapter's input is dropped, in [0, 1).
        init: how A begins: ``gaussian`` with standard deviation 1/rank, as in the scripts of diffusers, or
            ``kaiming``, PEFT's default.
        options: further options of ``peft.LoraConfig`` (``use_rslora`` …).
    """

    adapter = "default"

    def __init__(self, component: str = "unet", rank: int = 8, alpha: float | None = None,
                 target_modules: Sequence[str] | str | None = None, dropout: float = 0.0, init: str = "gaussian",
                 options: dict[str, Any] | None = None) -> None:
        super().__init__(component)
        if rank < 1:
            raise ValueError(f"LoRATuner: rank is {rank}; it must be 1 or more.")
        if init not in ("gaussian", "kaiming"):
            raise ValueError(f"LoRATuner: init is {init!r}; it must be 'gaussian' or 'kaiming'.")
        if target_modules is None:
            if component not in DEFAULT_TARGETS:
                raise ValueError(f"LoRATuner: component {component!r} has no default target_modules; name them.")
            target_modules = DEFAULT_TARGETS[component]
        self.rank, self.alpha, self.dropout, self.init = rank, rank if alpha is None else alpha, dropout, init
        self.target_modules = target_modules if isinstance(target_modules, str) else list(target_modules)
        self.options = dict(options or {})

    def apply(self, model: "LatentDiffusion") -> None:
        from peft import LoraConfig

        self.check(model.components)
        hide_broken_neural_compressor()
        module = self.module(model)
        before = {id(parameter) for parameter in module.parameters() if parameter.requires_grad}
        module.add_adapter(LoraConfig(  # type: ignore[operator]
            r=self.rank, lora_alpha=self.alpha, target_modules=self.target_modules, lora_dropout=self.dropout,
            init_lora_weights="gaussian" if self.init == "gaussian" else True, **self.options), self.adapter)
        for name, parameter in module.named_parameters():
            if "lora_" in name:
                parameter.data = parameter.data.to(torch.float32)  # trained weights stay fp32 under mixed precision
            parameter.requires_grad_("lora_" in name or id(parameter) in before)

    def check(self, components: Mapping[str, nn.Module]) -> None:
        """PEFT is content when one of several targets matches; a target that matches nothing is a mistake."""
        import re

        module = self.pick(components)
        layers = [name for name, layer in module.named_modules() if isinstance(layer, (nn.Linear, nn.Conv2d))]
        if isinstance(self.target_modules, str):
            found = {self.target_modules: any(re.fullmatch(self.target_modules, name) for name in layers)}
        else:
            found = {target: any(f".{name}".endswith(f".{target}") for name in layers)
                     for target in self.target_modules}
        lost = [target for target, hit in found.items() if not hit]
        if lost:
            endings = {ending for name in layers for ending in _endings(name)}
            raise ValueError(" ".join(f"LoRATuner: target_modules: no layer of {self.component!r} matches {target!r}"
                                      f"{did_you_mean(target, endings)}" for target in lost))

    def artifact(self, model: "LatentDiffusion") -> Artifact:
        return AdapterArtifact(component=self.component, module=self.module(model), base=model.pretrained,
                               adapter=self.adapter)

    def describe(self) -> str:
        return f"LoRA of rank {self.rank}, alpha {self.alpha:g}, on {self.component}"

    @contextmanager
    def disabled(self, model: "LatentDiffusion") -> Iterator[None]:
        module: Any = self.module(model)
        module.disable_adapters()
        try:
            yield
        finally:
            module.enable_adapters()


def _endings(name: str) -> list[str]:
    """The last name of a layer, and the last two where the last is a number (``to_out.0``)."""
    parts = name.split(".")
    return [".".join(parts[-2:]) if parts[-1].isdigit() else parts[-1]]
