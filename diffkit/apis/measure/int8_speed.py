"""How fast and how small a quantised UNet is, beside the same UNet in other number formats."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from diffkit.apis.measure import report
from diffkit.apis.measure.int8_models import FLOAT_FILE, SIZES, load_variants, unet_inputs, write_files
from diffkit.apis.measure.int8_report import int8_table
from diffkit.apis.measure.interleaved import interleaved, one_thread, ratios
from diffkit.apis.measure.pictures import Say
from diffkit.models.quantizers import QATQuantizer
from diffkit.models.quantizers.layers import QATLayer

PARTS = ("speed", "size", "step")
BATCH = 2


def measure_int8_speed(
    *,
    sizes: Sequence[str] = tuple(SIZES),
    parts: Sequence[str] = PARTS,
    rounds: int = 5,
    work_dir: str | Path = "work_dirs/measure_int8_speed",
    out: str | Path = "docs/results/int8_speed",
    command: str = "diffkit measure int8-speed",
    say: Say = print,
) -> str:
    """Measures UNets with random weights, writes ``<out>.json`` and ``<out>.md``, and returns the tables.

    What is not measured now keeps its earlier results, each with its own machine and date.

    Args:
        sizes: of ``SIZES``.
        parts: ``speed`` of a pass, ``size`` of files (of the largest of ``sizes``), ``step`` of a training (of the
            smallest).
        rounds: in which everything is run in turns; 5 or more for a claim.
        work_dir: for the files, which later calls use again. Stable Diffusion's take 6 GB.
        out: path of the results without suffix.
        command: what the results say they were made by.
        say: called with lines of progress.

    Raises:
        ValueError: a part or a size is unknown.
    """
    for name, given, known in (("sizes", sizes, SIZES), ("parts", parts, PARTS)):
        report.check_names(name, given, known)
    file = Path(out).with_suffix(".json")
    results = report.read_results(file)
    ordered = [name for name in SIZES if name in sizes]

    def keep(part: str, name: str, found: dict[str, Any]) -> None:
        with one_thread():
            found["about"] = report.about(command)
        results.setdefault(part, {})[name] = found
        report.write_results(file, results)

    with one_thread():
        if "step" in parts:
            keep("step", ordered[0], measure_step(*SIZES[ordered[0]], rounds, say))
        for name in ordered if "speed" in parts else ():
            keep("speed", name, measure_speed(*SIZES[name], Path(work_dir) / name, rounds, say))
        if "size" in parts:
            keep("size", ordered[-1], measure_size(SIZES[ordered[-1]][0], Path(work_dir) / ordered[-1], say))
    text = int8_table(results)
    file.with_suffix(".md").write_text(text, encoding="utf-8")
    return text


def measure_speed(config: dict[str, Any], side: int, folder: Path, rounds: int, say: Say) -> dict[str, Any]:
    """Times of a pass of two latents, and the squared error of each prediction relative to that of float32."""
    write_files(config, folder, ("w8",), say)
    inputs = unet_inputs(config, side, BATCH)
    variants = load_variants(config, folder, inputs, say)
    predictions: dict[str, Tensor] = {}
    times = interleaved({name: _keeping(name, variant.run, predictions) for name, variant in variants.items()},
                        rounds, say)
    wanted = predictions["float32"].float()
    found: dict[str, Any] = {
        name: {**times[name], "executed": variants[name].executed, "faster": ratios(times, "float32", name),
               "error": float((predictions[name].float() - wanted).square().mean() / wanted.square().mean())}
        for name in variants}
    return {"parameters": parameters(config), "side": side, "batch": BATCH, "variants": found,
            "int8_over_bfloat16": ratios(times, "bfloat16", "int8"), "openvino": _version_of_openvino(variants)}


def _version_of_openvino(variants: Any) -> str | None:
    from importlib.metadata import version

    return version("openvino") if "openvino" in variants else None


def _keeping(name: str, run: Any, into: dict[str, Tensor]) -> Any:
    def kept() -> None:
        into[name] = run()

    return kept


def parameters(config: dict[str, Any]) -> int:
    """The number of parameters of a UNet."""
    with torch.device("meta"):
        return sum(value.numel() for value in UNet2DConditionModel(**config).parameters())


def measure_size(config: dict[str, Any], folder: Path, say: Say) -> dict[str, Any]:
    """Bytes of the files of the UNet as floats, with weights of 8 and of 4 bits."""
    write_files(config, folder, ("w8", "w4"), say)
    files = {"float32": folder / FLOAT_FILE,
             **{width: folder / width / "unet_int8" / "quantized.safetensors" for width in ("w8", "w4")}}
    described = {width: folder / width / "unet_int8" / "quantization.json" for width in ("w8", "w4")}
    found = {name: path.stat().st_size + (described[name].stat().st_size if name in described else 0)
             for name, path in files.items()}
    return {"parameters": parameters(config), "bytes": found,
            "smaller": {width: found["float32"] / found[width] for width in described}}


def measure_step(config: dict[str, Any], side: int, rounds: int, say: Say) -> dict[str, Any]:
    """Times of a training step (forward, backward, AdamW), with fake-quantised layers of fixed ranges and without."""
    say("a training step, quantised and float")
    torch.manual_seed(0)
    unet = UNet2DConditionModel(**config)
    inputs = unet_inputs(config, side, BATCH)
    QATQuantizer().swap(unet)
    layers = [layer for layer in unet.modules() if isinstance(layer, QATLayer)]
    unet.train()(**inputs)  # the ranges of inputs are those of the first batch
    optimizer = torch.optim.AdamW(unet.parameters(), lr=1e-6)
    target = torch.randn(inputs["sample"].shape, generator=torch.Generator().manual_seed(2))

    def step(quantizing: bool) -> Any:
        def run() -> None:
            for layer in layers:
                layer.quantizing = quantizing
            train_step(unet, optimizer, inputs, target)

        return run

    times = interleaved({"float": step(False), "quantised": step(True)}, rounds, say)
    return {"parameters": parameters(config), "side": side, "batch": BATCH, "layers": len(layers), "times": times,
            "longer": ratios(times, "quantised", "float")}


def train_step(unet: nn.Module, optimizer: torch.optim.Optimizer, inputs: dict[str, Tensor], target: Tensor) -> None:
    """One step on the squared error of the prediction."""
    optimizer.zero_grad(set_to_none=True)
    torch.nn.functional.mse_loss(unet(**inputs).sample, target).backward()
    optimizer.step()
