"""The weights by which a UNet reads its text, trained themselves (Custom Diffusion, Kumari et al. 2023)."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from diffkit.export.artifacts import Artifact, DeltaArtifact
from diffkit.export.signature import base_tensors
from diffkit.models.tuners.full import FullTuner
from diffkit.registry import TUNERS

if TYPE_CHECKING:
    from diffkit.models.latent_diffusion import LatentDiffusion

#: What can be trained -> the parameters of the UNet.
PATTERNS = {"kv": r"attn2\.to_[kv]\.", "all": r"attn2\.to_(q|k|v|out\.0)\."}
_NAMES = {"kv": "keys and values", "all": "queries, keys, values and outputs"}


@TUNERS.register_module()
class CrossAttentionTuner(FullTuner):
    """Trains weights of the UNet's cross-attention; a checkpoint shows these alone, as a delta.

    With :class:`TextualInversion` of one or several new words beside it this is Custom Diffusion (arXiv 2212.04488).

    Args:
        train: ``kv`` is keys and values, which alone see the text; ``all`` is queries and outputs too.
        detach_first_token: no gradient reaches keys and values from the first token. It is the same in every prompt,
            also in the empty one of guidance; the reference does so.
        compression: share of the change to keep, above 0 and at most 1: of each matrix that reads the text, as many
            singular values as have this share of the sum of all. None writes the weights whole. It concerns the
            written file, not the training.
    """

    can_shard = False  # it keeps its parameters

    def __init__(self, train: str = "kv", detach_first_token: bool = True, compression: float | None = None) -> None:
        if train not in PATTERNS:
            raise ValueError(f"CrossAttentionTuner: train is {train!r}; it must be one of {', '.join(PATTERNS)}.")
        if compression is not None and not 0 < compression <= 1:
            raise ValueError(f"CrossAttentionTuner: compression is {compression}; it must be above 0 and at most 1.")
        super().__init__("unet", PATTERNS[train])
        self.train = train
        self.detach_first_token = detach_first_token
        self.compression = compression
        self._parameters: dict[str, nn.Parameter] = {}
        self._initial: dict[str, Tensor] = {}

    def apply(self, model: "LatentDiffusion") -> None:
        others = [tuner for tuner in model.tuners.values() if isinstance(tuner, CrossAttentionTuner)]
        if len(others) > 1:
            raise ValueError(f"CrossAttentionTuner: model.tuners has {len(others)} of them; one trains what all "
                             "concepts share. Add a TextualInversion for each new word instead.")
        super().apply(model)
        module = self.module(model)
        self._parameters = {name: value for name, value in base_tensors(module)  # type: ignore[misc]
                            if self.pattern.search(name)}
        self._initial = {name: value.detach().clone() for name, value in self._parameters.items()}
        if self.detach_first_token:
            for name, layer in module.named_modules():
                if name.endswith(("attn2.to_k", "attn2.to_v")):
                    layer.register_forward_hook(_detach_first)

    def trained(self) -> dict[str, Tensor]:
        """The trained weights as they are now, by their names in the UNet."""
        return {name: value.detach() for name, value in self._parameters.items()}

    def initial(self) -> dict[str, Tensor]:
        """The same weights before the training."""
        return dict(self._initial)

    def artifact(self, model: "LatentDiffusion") -> Artifact:
        return DeltaArtifact(self.component, self.trained, self.initial, model.pretrained, self.compression)

    def describe(self) -> str:
        first = ", not from the first token" if self.detach_first_token else ""
        return f"{_NAMES[self.train]} of cross-attention in {self.component}{first}"

    @contextmanager
    def disabled(self, model: "LatentDiffusion") -> Iterator[None]:
        """Shows the weights as they were before the training inside ``with``."""
        trained = {name: value.data for name, value in self._parameters.items()}
        for name, value in self._parameters.items():
            value.data = self._initial[name].to(value.data)
        try:
            yield
        finally:
            for name, value in self._parameters.items():
                value.data = trained[name]


def _detach_first(layer: nn.Module, arguments: Any, output: Tensor) -> Tensor:
    """A forward hook: the output [B, tokens, width] of a layer, whose first token gives no gradient."""
    return torch.cat([output[:, :1].detach(), output[:, 1:]], dim=1)
