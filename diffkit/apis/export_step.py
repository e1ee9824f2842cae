"""What a training left, in the format of another program."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from diffkit.apis.kohya import check_empty, export_kohya, free_file
from diffkit.apis.load_pipeline import load_pipeline
from diffkit.apis.merge_into_pipeline import merge_into_pipeline
from diffkit.utils.near import did_you_mean
from diffkit.utils.step_folder import StepFolder, read_step_folder

FORMATS = ("pipeline", "single-file", "kohya", "onnx", "openvino")
#: Which arguments say something for a format; of the others only their defaults are taken.
_TAKES = {"pipeline": {"weights", "pretrained", "vae", "dtype", "allow_pickle"},
          "single-file": {"weights", "pretrained", "vae", "dtype", "allow_pickle"},
          "kohya": {"dtype", "family"},
          "onnx": {"weights", "pretrained", "allow_pickle"},
          "openvino": {"weights", "pretrained", "allow_pickle"}}
_DEFAULTS = {"weights": None, "pretrained": None, "vae": None, "dtype": "float32", "allow_pickle": False,
             "family": None}


def export_step(steps: Sequence[str | Path], to: str, out: str | Path, **options: Any) -> Path:
    """Writes step folders in the format of another program.

    Args:
        steps: one or more step folders; exactly one for ``kohya``.
        to: ``pipeline``, a diffusers folder; ``single-file``, one safetensors file of all networks; ``kohya``, the
            adapters alone, for A1111 and ComfyUI; ``onnx`` and ``openvino``, the UNet, with its integers where it is
            quantised.
        out: the file of ``single-file`` and ``kohya``, or a folder for it; else a folder that is new or empty.
        options: ``weights``, ``pretrained``, ``vae``, ``dtype``, ``allow_pickle`` as for :func:`load_pipeline`, and
            ``family`` for kohya's; each where the format has a use for it.

    Returns:
        What was written.

    Raises:
        ImportError: the format needs a package that is not installed.
        ValueError: an argument is not valid, or the format has no place for what is there.
    """
    if to not in FORMATS:
        raise ValueError(f"to is {to!r}{did_you_mean(to, FORMATS)}")
    if not steps:
        raise ValueError("steps is empty: give one or more step folders.")
    useless = sorted(name for name, value in options.items()
                     if name not in _TAKES[to] and value != _DEFAULTS.get(name))
    if useless:
        raise ValueError(f"{', '.join(useless)}: an export to {to} has no use for it.")
    options = {name: value for name, value in options.items() if name in _TAKES[to]}
    if to == "pipeline":
        return merge_into_pipeline(steps, out, **options)
    if to == "kohya":
        if len(steps) > 1:
            raise ValueError(f"steps: {len(steps)} were given; a file of kohya's holds the adapters of one.")
        return export_kohya(steps[0], out, **options)
    if to == "single-file":
        return _single_file(steps, Path(out), options)
    return _network(steps, to, Path(out), options)


def _single_file(steps: Sequence[str | Path], out: Path, options: dict[str, Any]) -> Path:
    from diffkit.export.single_file import write_single_file

    out = free_file(out, Path(steps[-1]), "_full")
    return write_single_file(load_pipeline(steps=steps, device="cpu", scheduler=None, **options), out)


def _network(steps: Sequence[str | Path], to: str, out: Path, options: dict[str, Any]) -> Path:
    """The UNet alone."""
    check_empty(out)
    network, source = _unet(steps, options)
    if to == "onnx":
        from diffkit.export.onnx import write_onnx

        return write_onnx(network, out)
    from diffkit.export.openvino import write_openvino

    return write_openvino(network, out, source)


def _unet(steps: Sequence[str | Path], options: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The UNet with all that the steps change in it, and what it was made of; a quantised one without a pipeline."""
    from diffkit.export.merge import merged_copy

    source: dict[str, Any] = {"steps": [str(step) for step in steps]}
    alone = _quantized(steps) if not any(options.get(name) for name in ("weights", "pretrained")) else None
    if alone is not None and alone.quantized is not None:
        from diffkit.export.quantized import load_quantized, read_info

        return load_quantized(alone.quantized), {**source, "sha256": read_info(alone.quantized)["sha256"]}
    pipe = load_pipeline(steps=steps, device="cpu", dtype="float32", scheduler=None, kernels="dequantized", **options)
    return merged_copy(pipe.unet), source


def _quantized(steps: Sequence[str | Path]) -> StepFolder | None:
    """The step folder, where it is the only one and has a quantised UNet."""
    if len(steps) > 1 or not Path(steps[0]).is_dir():
        return None
    found = read_step_folder(Path(steps[0]))
    return found if found is not None and found.quantized is not None else None
