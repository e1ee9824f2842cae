"""How many bytes the exports of a training will take, told before any is written."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from diffkit.export.artifacts import AdapterArtifact, Artifact, DeltaArtifact, EmbeddingArtifact
from diffkit.export.diffusers_lora import lora_tensors
from diffkit.export.embeddings import embedding_files
from diffkit.export.kohya import adapter_of, kohya_tensors
from diffkit.export.peft_adapter import adapter_tensors
from diffkit.export.quantized.files import export_bytes_of_quantized
from diffkit.export.signature import base_tensors
from diffkit.export.writer import holds_pipeline

_ENTRY = 65  # bytes in the header of a safetensors file for each tensor, beside its name: type, shape, place
_TOKEN = 50  # bytes of a tokenizer's files for each token
_RECORD = 1200  # bytes of a JSON file: a config of a part, or of an adapter


def export_bytes(artifacts: Sequence[Artifact], parts: Mapping[str, Any]) -> int:
    """Returns about how many bytes :func:`~diffkit.export.write_artifacts` will write.

    Args:
        artifacts: what is going to be written.
        parts: of the pipeline, by name: networks, tokenizers and schedulers.

    Raises:
        TypeError: an artifact is of an unknown kind.
    """
    if not artifacts:
        return 0
    unknown = {type(artifact).__name__ for artifact in artifacts if not isinstance(artifact, Artifact)}
    if unknown:
        raise TypeError(f"the size of {', '.join(sorted(unknown))} is not known; known: AdapterArtifact, "
                        "DeltaArtifact, EmbeddingArtifact, PipelineArtifact, QuantizedArtifact.")
    embeddings = [artifact for artifact in artifacts if isinstance(artifact, EmbeddingArtifact)]
    files = embedding_files(embeddings).values()
    total = _RECORD + sum(tensor_file_bytes([(artifact.token, dict(artifact.rows)[encoder]())])
                          for artifact, encoder in files)
    total += export_bytes_of_quantized(artifacts)
    if holds_pipeline(artifacts):
        return total + sum(map(_part_bytes, parts.values()))
    adapters = [artifact for artifact in artifacts if isinstance(artifact, AdapterArtifact)]
    total += sum(_RECORD + tensor_file_bytes(adapter_tensors(artifact).items()) for artifact in adapters)
    deltas = [artifact for artifact in artifacts if isinstance(artifact, DeltaArtifact)]
    total += sum(tensor_file_bytes(artifact.trained().items())
                 for artifact in deltas)  # a compressed one takes less; how much, the training decides
    sdxl = "text_encoder_2" in parts
    total += sum(tensor_file_bytes(kohya_tensors(adapter_of(artifact), sdxl).items())
                 for artifact in adapters if artifact.kohya)
    return total + tensor_file_bytes(lora_tensors(adapters).items())


def tensor_file_bytes(tensors: Iterable[tuple[str, Tensor]]) -> int:
    """Returns about how many bytes a safetensors file of these named tensors takes; 0 for none."""
    return sum(tensor.nbytes + len(name) + _ENTRY for name, tensor in tensors)


def _part_bytes(part: Any) -> int:
    if isinstance(part, nn.Module):
        return _RECORD + tensor_file_bytes(base_tensors(part))
    return _RECORD + (_TOKEN * len(part) if hasattr(part, "get_vocab") else 0)
