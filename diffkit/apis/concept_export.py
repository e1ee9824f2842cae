"""A training of Custom Diffusion in the files that other programs read."""

from pathlib import Path

from diffkit.apis.load_pipeline import load_pipeline
from diffkit.export import DeltaArtifact, EmbeddingArtifact, read_delta, write_artifacts
from diffkit.export.delta import whole_weights
from diffkit.export.embeddings import read_embeddings
from diffkit.utils.step_folder import StepFolder, read_step_folder


def export_custom_diffusion(step: str | Path, out: str | Path, *, pretrained: str | None = None,
                            compression: float | None = None, pickled: bool = False) -> list[Path]:
    """Writes the trained weights and words of a step folder anew: compressed, whole, or as pickles too.

    Args:
        step: a step folder of Custom Diffusion.
        out: folder to write; it must not exist, or be empty.
        pretrained: what it was trained on; None takes what the folder says.
        compression: see ``CrossAttentionTuner``; None writes the weights whole, also of a compressed folder.
        pickled: write ``.bin`` files too, which are pickles: ``delta.bin`` (or ``compressed_delta.bin``) of the
            authors' program, and ``pytorch_custom_diffusion_weights.bin`` of diffusers.

    Returns:
        The files.

    Raises:
        ValueError: an argument is not valid, or the folder does not fit the model.
    """
    folder, target = read_step_folder(step), Path(out)
    if folder is None or folder.delta is None:
        raise ValueError(f"step: {step} holds no trained cross-attention.")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ValueError(f"out: {target} is there already and not empty; name another folder.")
    base = pretrained or folder.base
    if base is None:
        raise ValueError(f"pretrained: {step} does not say what it was trained on; name the model.")
    pipe = load_pipeline(base, device="cpu", dtype="float32", scheduler=None)
    weights = {name: value.detach() for name, value in pipe.unet.named_parameters()}
    trained = whole_weights(read_delta(folder.delta), weights, str(step))
    before = {name: weights[name] for name in trained}
    delta = DeltaArtifact("unet", lambda: trained, lambda: before, base, compression, pickled)
    return write_artifacts([delta, *_words(folder, base)], target, lambda: pipe, step=folder.info.get("step"),
                           prompts=folder.info.get("prompts", ()))


def _words(folder: StepFolder, base: str) -> list[EmbeddingArtifact]:
    """The words of a step folder, as they are to be written again."""
    rows: dict[str, list[tuple[str, object]]] = {}
    for encoder, files in folder.embeddings.items():
        for file in files:
            for word, vectors in read_embeddings(file).items():
                rows.setdefault(word, []).append((encoder, lambda vectors=vectors: vectors))
    return [EmbeddingArtifact(word, tuple(pairs), base) for word, pairs in rows.items()]  # type: ignore[arg-type]
