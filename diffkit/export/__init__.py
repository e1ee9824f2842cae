"""What a training leaves for others: one writer for each file format, and the way back."""

from diffkit.export.artifacts import AdapterArtifact, Artifact, DeltaArtifact, EmbeddingArtifact, PipelineArtifact
from diffkit.export.delta import apply_delta, read_delta, write_delta
from diffkit.export.embeddings import apply_embeddings
from diffkit.export.merge import merge_adapters, merged_copy
from diffkit.export.reload import apply_adapters, check_fits
from diffkit.export.size import export_bytes
from diffkit.export.writer import write_artifacts

__all__ = [
    "AdapterArtifact", "Artifact", "DeltaArtifact", "EmbeddingArtifact", "PipelineArtifact", "apply_adapters",
    "apply_delta", "apply_embeddings", "check_fits", "export_bytes", "merge_adapters", "merged_copy", "read_delta",
    "write_artifacts", "write_delta"]
