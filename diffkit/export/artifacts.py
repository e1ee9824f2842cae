"""What a training hands to the exports: descriptions of files that others can read."""

from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True)
class AdapterArtifact:
    """A PEFT adapter (LoRA and its kin) inside one component.

    Attributes:
        component: the component's name in a pipeline: ``unet``, ``text_encoder`` or ``text_encoder_2``.
        module: the component; it carries the adapter (``module.add_adapter``).
        base: the ``pretrained`` that it was trained on, as the user named it; None for random weights.
        adapter: the adapter's name inside ``module``.
    """

    component: str
    module: nn.Module
    base: str | None
    adapter: str = "default"


@dataclass(frozen=True)
class PipelineArtifact:
    """The whole pipeline: base weights themselves were trained."""


Artifact = AdapterArtifact | PipelineArtifact
