"""Train the weights themselves, all or by name."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from torch import nn

from diffkit.export.artifacts import Artifact, PipelineArtifact
from diffkit.models.tuners.base import Tuner
from diffkit.registry import TUNERS
from diffkit.utils.near import did_you_mean

if TYPE_CHECKING:
    from diffkit.models.latent_diffusion import LatentDiffusion


@TUNERS.register_module()
class FullTuner(Tuner):
    """Trains the parameters of ``component`` whose name matches ``pattern``.

    Args:
        component: ``unet``, ``vae``, ``text_encoder`` or ``text_encoder_2``.
        pattern: a regular expression, searched for anywhere in the parameter's name inside the component;
            ``attn2\\.to_[kv]\\.`` are the keys and values of cross-attention.
    """

    can_shard = True

    def __init__(self, component: str = "unet", pattern: str = ".*") -> None:
        super().__init__(component)
        try:
            self.pattern = re.compile(pattern)
        except re.error as error:
            raise ValueError(f"FullTuner: pattern {pattern!r} is not a regular expression: {error}") from None

    def apply(self, model: "LatentDiffusion") -> None:
        self.check(model.components)
        for name, parameter in self.module(model).named_parameters():
            if self.pattern.search(name):
                parameter.requires_grad_(True)

    def check(self, components: Mapping[str, nn.Module]) -> None:
        names = [name for name, _ in self.pick(components).named_parameters()]
        if not any(map(self.pattern.search, names)):
            raise ValueError(f"FullTuner: no parameter of {self.component!r} matches pattern {self.pattern.pattern!r}"
                             f"{did_you_mean(self.pattern.pattern, names)}")

    def artifact(self, model: "LatentDiffusion") -> Artifact:
        return PipelineArtifact()

    def describe(self) -> str:
        which = "all weights" if self.pattern.pattern == ".*" else f"weights matching {self.pattern.pattern!r}"
        return f"{which} of {self.component}"
