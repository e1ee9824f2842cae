"""What a training hands to the exports: descriptions of files that others can read."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

if TYPE_CHECKING:
    from diffkit.export.quantized.proof import Proof


@dataclass(frozen=True)
class AdapterArtifact:
    """A PEFT adapter (LoRA and its kin) inside one component.

    Attributes:
        component: the component's name in a pipeline: ``unet``, ``text_encoder`` or ``text_encoder_2``.
        module: the component; it carries the adapter (``module.add_adapter``).
        base: the ``pretrained`` that it was trained on, as the user named it; None for random weights.
        adapter: the adapter's name inside ``module``.
        kohya: it is also written into the file for kohya's programs.
    """

    component: str
    module: nn.Module
    base: str | None
    adapter: str = "default"
    kohya: bool = False


@dataclass(frozen=True)
class PipelineArtifact:
    """The whole pipeline: base weights themselves were trained."""


@dataclass(frozen=True)
class EmbeddingArtifact:
    """The vectors of a placeholder (textual inversion), in one text encoder or several.

    Attributes:
        token: the placeholder.
        rows: for each text encoder its name in a pipeline, and what gives its vectors [n, d].
        base: the ``pretrained`` that they were trained on, as the user named it; None for random weights.
        with_pipeline: the whole pipeline is written too.
    """

    token: str
    rows: tuple[tuple[str, Callable[[], Tensor]], ...]
    base: str | None
    with_pipeline: bool = False


@dataclass(frozen=True)
class DeltaArtifact:
    """Weights of cross-attention that were trained themselves, without the rest of their component.

    Attributes:
        component: the component's name in a pipeline: ``unet``.
        trained: gives the weights by name.
        initial: gives the same weights as they were before the training.
        base: the ``pretrained`` that they were trained on, as the user named it; None for random weights.
        compression: share of the change that is written; None writes the weights whole.
        pickled: pickles are written too, for programs that read nothing else. Never in a checkpoint, which is not
            valid with one.
    """

    component: str
    trained: Callable[[], dict[str, Tensor]]
    initial: Callable[[], dict[str, Tensor]]
    base: str | None
    compression: float | None = None
    pickled: bool = False


@dataclass(frozen=True)
class QuantizedArtifact:
    """A component as integers.

    Attributes:
        component: the component's name in a pipeline: ``unet``.
        module: the component; those of its layers that become integers have a method ``layer_codes()``.
        base: the ``pretrained`` that it was made of, as the user named it; None for random weights.
        source_sha256: hash of the float weights that it was made of.
        details: how ranges were found, for the description.
        proof: what the module gives for some inputs, or None.
    """

    component: str
    module: nn.Module
    base: str | None
    source_sha256: str
    details: dict[str, Any] = field(default_factory=dict, compare=False)
    proof: "Proof | None" = field(default=None, compare=False)


Artifact = AdapterArtifact | PipelineArtifact | EmbeddingArtifact | QuantizedArtifact | DeltaArtifact
