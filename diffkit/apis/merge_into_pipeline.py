"""A whole pipeline of a base model and the step folders of trainings on it."""

from collections.abc import Sequence
from pathlib import Path

from diffkit.apis.kohya import check_empty
from diffkit.apis.load_pipeline import load_pipeline


def merge_into_pipeline(steps: Sequence[str | Path], out: str | Path, *, weights: Sequence[float] | None = None,
                        pretrained: str | Path | None = None, vae: str | Path | None = None, dtype: str = "float32",
                        allow_pickle: bool = False) -> Path:
    """Writes a diffusers folder in which adapters of any kind and trained weights are added to those of the base.

    Learned words are in its tokenizers and text encoders. The folder needs neither diffkit nor PEFT, and is a valid
    ``pretrained`` of further trainings.

    Args:
        steps: one or more step folders.
        out: the folder, which must be new or empty.
        weights: a number for each of ``steps``; all 1 where None.
        pretrained: see :func:`load_pipeline`.
        vae: another VAE: a folder or hub id.
        dtype: ``float32``, ``float16`` or ``bfloat16``, in which the weights are written.
        allow_pickle: also read ``.bin`` weights of the base.

    Returns:
        The folder.

    Raises:
        ValueError: the step folders do not fit, or ``out`` holds something; see also :func:`load_pipeline`.
    """
    if not steps:
        raise ValueError("steps is empty: give one or more step folders.")
    out = Path(out)
    check_empty(out)
    from diffkit.export import PipelineArtifact, write_artifacts
    from diffkit.export.quantized import quantized_layers

    pipe = load_pipeline(pretrained, steps, weights=weights, device="cpu", dtype=dtype, vae=vae, scheduler=None,
                         allow_pickle=allow_pickle)
    if quantized_layers(pipe.unet):
        raise ValueError("steps: the UNet is quantised, and a folder of diffusers has no place for its integers. Write "
                         "it with diffkit export --to openvino or onnx, or give the float model's step folder.")
    write_artifacts([PipelineArtifact()], out, lambda: pipe)
    return out
