"""Writes what a training made into a step folder, each thing in the formats that others read."""

import json
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffkit.export.artifacts import AdapterArtifact, Artifact, DeltaArtifact, EmbeddingArtifact, PipelineArtifact
from diffkit.export.delta import delta_file, write_delta
from diffkit.export.diffusers_lora import write_diffusers_lora
from diffkit.export.embeddings import embedding_files, write_embeddings
from diffkit.export.kohya import write_kohya_artifacts
from diffkit.export.peft_adapter import write_peft_adapter
from diffkit.export.pipeline import write_pipeline
from diffkit.export.quantized.files import describe_quantized, write_all_quantized
from diffkit.export.signature import signature
from diffkit.utils.step_folder import INFO_FILE
from diffkit.version import __version__

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

#: Version of the layout of ``diffkit.json``.
INFO_FORMAT = 1


def write_artifacts(artifacts: Sequence[Artifact], folder: str | Path,
                    pipeline_factory: "Callable[[], DiffusionPipeline]", *, step: int | None = None,
                    prompts: Sequence[str] = ()) -> list[Path]:
    """Writes ``artifacts`` and ``diffkit.json``, which says what they are.

    A whole pipeline contains its adapters, merged, and all that was trained; without one, each adapter is a PEFT
    folder, all LoRAs together are a LoRA file of diffusers, those that ask for it are a file of kohya's, and trained
    weights of cross-attention are a file of diffusers' Custom Diffusion. Learned embeddings have their files in any
    case.

    Args:
        artifacts: what :meth:`LatentDiffusion.artifacts` gives; nothing is written for an empty list.
        folder: the step folder; made where it is missing.
        pipeline_factory: gives the live pipeline.
        step: the last finished iteration, from 0.
        prompts: prompts that show what was learned.

    Returns:
        The files written, and ``model_index.json`` for a pipeline.

    Raises:
        TypeError: an artifact is of an unknown kind.
    """
    for artifact in artifacts:
        if not isinstance(artifact, Artifact):
            raise TypeError(f"no writer for {type(artifact).__name__}; known: AdapterArtifact, DeltaArtifact, "
                            "EmbeddingArtifact, PipelineArtifact, QuantizedArtifact.")
    if not artifacts:
        return []
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    pipe = pipeline_factory()
    adapters = [artifact for artifact in artifacts if isinstance(artifact, AdapterArtifact)]
    embeddings = [artifact for artifact in artifacts if isinstance(artifact, EmbeddingArtifact)]
    deltas = [artifact for artifact in artifacts if isinstance(artifact, DeltaArtifact)]
    whole = holds_pipeline(artifacts)
    if whole:
        written = write_pipeline(pipe, folder)
    else:
        written = [path for artifact in adapters for path in write_peft_adapter(artifact, folder)]
        written += write_diffusers_lora(adapters, folder)
        written += write_kohya_artifacts(adapters, pipe, folder)
        written += [path for artifact in deltas for path in write_delta(artifact, folder, embeddings)]
    written += write_embeddings(embeddings, folder)
    written += write_all_quantized(artifacts, folder)
    info = {"step": step, "prompts": list(prompts), **describe(adapters, whole, pipe, embeddings, deltas)}
    describe_quantized(artifacts, info)
    (folder / INFO_FILE).write_text(json.dumps(info, indent=2) + "\n", encoding="utf-8")
    return [*written, folder / INFO_FILE]


def holds_pipeline(artifacts: Sequence[Artifact]) -> bool:
    """Whether a whole pipeline is written for these artifacts."""
    return any(isinstance(artifact, PipelineArtifact)
               or (isinstance(artifact, EmbeddingArtifact) and artifact.with_pipeline) for artifact in artifacts)


def describe(adapters: Sequence[AdapterArtifact], whole: bool, pipe: "DiffusionPipeline",
             embeddings: Sequence[EmbeddingArtifact] = (),
             deltas: Sequence[DeltaArtifact] = ()) -> dict[str, Any]:
    """The content of ``diffkit.json`` that follows from what is written.

    ``base`` and ``structure`` are what an adapter has to meet again when it is loaded. Learned embeddings need the
    text encoders alone.
    """
    names = [*(["unet"] if adapters or deltas or whole else []), *(artifact.component for artifact in adapters),
             *(encoder for artifact in embeddings for encoder, _ in artifact.rows)]
    bases = list(dict.fromkeys([*(a.base for a in adapters), *(d.base for d in deltas), *(e.base for e in embeddings)]))
    held = [{"kind": "pipeline"}] if whole else [
        *map(_describe_adapter, adapters), *map(_describe_delta, deltas)]
    return {
        "format": INFO_FORMAT,
        "holds": [*held, *(_describe_embedding(artifact, embeddings) for artifact in embeddings)],
        "base": bases[0] if bases else None,
        "pipeline_class": type(pipe).__name__,
        "structure": {name: signature(pipe.components[name]) for name in dict.fromkeys(names)},
        "versions": {"diffkit": __version__,
                     **{name: version(name) for name in ("torch", "diffusers", "transformers", "peft")}},
    }


def _describe_embedding(artifact: EmbeddingArtifact, embeddings: Sequence[EmbeddingArtifact]) -> dict[str, Any]:
    files = {encoder: name for name, (other, encoder) in embedding_files(embeddings).items() if other is artifact}
    return {"kind": "embedding", "token": artifact.token, "num_vectors": len(artifact.rows[0][1]()), "files": files}


def _describe_delta(artifact: DeltaArtifact) -> dict[str, Any]:
    return {"kind": "delta", "component": artifact.component, "file": delta_file(artifact),
            "tensors": len(artifact.trained()), "compression": artifact.compression}


def _describe_adapter(artifact: AdapterArtifact) -> dict[str, Any]:
    config: Any = artifact.module.peft_config[artifact.adapter]  # type: ignore[union-attr, index]
    described = {"kind": "adapter", "component": artifact.component, "peft_type": config.peft_type.value,
                 "use_dora": getattr(config, "use_dora", False) or None, "rank": getattr(config, "r", None) or None,
                 "alpha": getattr(config, "lora_alpha", getattr(config, "alpha", None)),
                 "block_size": getattr(config, "oft_block_size", None)}
    return {name: value for name, value in described.items() if value is not None}
