"""UNets with random weights in several number formats: their files, and what computes them."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from diffkit.apis.measure.pictures import Say, quiet
from diffkit.export.artifacts import QuantizedArtifact
from diffkit.export.quantized import enable_kernels, load_quantized, quantized_layers, write_quantized
from diffkit.export.quantized.layers import replace_layer
from diffkit.models.families.unet_configs import SD15
from diffkit.models.quantizers import QATQuantizer
from diffkit.models.quantizers.layers import QATLayer
from diffkit.utils.quiet import no_loading_bars

#: By name: the UNet's config and the side of the latents. The first has half the channels of the second.
SIZES: dict[str, tuple[dict[str, Any], int]] = {
    "220m": ({**SD15, "block_out_channels": (160, 320, 640, 640)}, 32),
    "sd15": (SD15, 64),
}
FLOAT_FILE = "float/diffusion_pytorch_model.safetensors"
#: As in the configs that diffkit brings, but that all inputs are integers: this is the most that kernels can gain.
WIDTHS: dict[str, dict[str, Any]] = {
    "w8": {},
    "w4": {"weight_bits": 4, "rules": {r"^conv_(in|out)$": {"weight_bits": 8}}},
}


@dataclass
class Variant:
    """Something that computes the UNet.

    Attributes:
        run: gives the prediction, in any format.
        executed: what was found of the kernels that compute it.
    """

    run: Callable[[], Tensor]
    executed: dict[str, Any]


def unet_inputs(config: dict[str, Any], side: int, batch: int) -> dict[str, Tensor]:
    """Latents, timesteps and texts, the same in every call."""
    generator = torch.Generator().manual_seed(1)
    return {"sample": torch.randn(batch, config["in_channels"], side, side, generator=generator),
            "timestep": torch.full((batch,), 400),
            "encoder_hidden_states": torch.randn(batch, 77, config["cross_attention_dim"], generator=generator)}


def write_files(config: dict[str, Any], folder: Path, widths: tuple[str, ...], say: Say = quiet) -> Path:
    """Writes a random UNet as floats, as integers of each of ``widths``, and for OpenVINO where it is installed.

    What is there from an earlier call stays: ``float``, ``w8/unet_int8``, ``w4/unet_int8`` and ``openvino``.

    Args:
        config: of the UNet.
        folder: for the files.
        widths: of ``WIDTHS``.
        say: called with lines of progress.
    """
    missing = [width for width in widths if not (folder / width).is_dir()]
    if missing:
        say(f"{folder.name}: a UNet with random weights, as floats and as integers")
        torch.manual_seed(0)
        unet = UNet2DConditionModel(**config).requires_grad_(False)
        with no_loading_bars():
            unet.save_pretrained(str(folder / "float"), max_shard_size="100GB")
        for width in missing:
            with _whole(folder / width) as place:
                _write_integers(unet, place, WIDTHS[width])
        del unet
    if "w8" in widths and find_spec("openvino") and not (folder / "openvino").is_dir():
        from diffkit.export.openvino import write_openvino

        say(f"{folder.name}: conversion for OpenVINO")
        with _whole(folder / "openvino") as place:
            write_openvino(load_quantized(folder / "w8" / "unet_int8"), place)
    return folder


@contextmanager
def _whole(folder: Path) -> Iterator[Path]:
    """A place to write a folder at, which gets its name only when all is written."""
    aside = folder.with_name(f".{folder.name}")
    shutil.rmtree(aside, ignore_errors=True)
    yield aside
    aside.rename(folder)


def _write_integers(unet: nn.Module, folder: Path, options: dict[str, Any]) -> None:
    """Quantises a UNet with the ranges of one pass, writes it, and makes it a float one again."""
    config: Any = unet.config
    QATQuantizer(**options).swap(unet)
    inputs = unet_inputs(config, 2 ** len(config["block_out_channels"]), 1)
    with torch.no_grad():
        unet.train()(**inputs)
    write_quantized(QuantizedArtifact("unet", unet.eval(), None, ""), folder)
    for name, layer in list(unet.named_modules()):
        if isinstance(layer, QATLayer):
            replace_layer(unet, name, layer.folded())  # type: ignore[attr-defined]


def load_float(config: dict[str, Any], folder: Path, dtype: torch.dtype) -> nn.Module:
    """The float UNet in a number format, without a second copy of its weights."""
    from safetensors import safe_open

    with torch.device("meta"):
        unet = UNet2DConditionModel(**config)
    with safe_open(folder / FLOAT_FILE, framework="pt") as file:
        weights = {name: file.get_tensor(name).to(dtype, copy=True) for name in file.keys()}  # noqa: SIM118
    unet.load_state_dict(weights, assign=True)
    return unet.requires_grad_(False).eval()


def load_variants(config: dict[str, Any], folder: Path, inputs: dict[str, Tensor], say: Say = quiet
                  ) -> dict[str, Variant]:
    """What is compared: ``float32``, ``bfloat16``, ``int8`` and, where it is installed, ``openvino``.

    Raises:
        RuntimeError: a layer of the last two would not be computed with integers.
    """
    found = {}
    for name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        say(f"{folder.name}: {name}")
        unet = load_float(config, folder, dtype)
        given = {key: value.to(dtype) if value.is_floating_point() else value for key, value in inputs.items()}
        found[name] = Variant(_call(unet, given), {"onednn": _has_bf16_kernels()} if name == "bfloat16" else {})
    say(f"{folder.name}: int8")
    unet = load_quantized(folder / "w8" / "unet_int8")
    wanted = len(quantized_layers(unet))
    used = enable_kernels(unet, "kernels")
    executed = profiled_kernels(unet, unet_inputs(config, 2 ** len(config["block_out_channels"]), 1))
    if used != wanted or executed["integer"] != wanted or executed["float"]:
        raise RuntimeError(f"int8: of {wanted} quantised layers {executed['integer']} were computed with integer "
                           f"kernels, and {executed['float']} with floats")
    found["int8"] = Variant(_call(unet, inputs), executed)
    if find_spec("openvino"):
        from diffkit.export.openvino import OpenVINOUNet

        say(f"{folder.name}: openvino")
        other = OpenVINOUNet(folder / "openvino", "bfloat16", threads=1)  # it checks what it executes
        found["openvino"] = Variant(_call(other, inputs), dict(other.executed))
    return found


def _call(network: nn.Module, inputs: dict[str, Tensor]) -> Callable[[], Tensor]:
    def run() -> Tensor:
        with torch.no_grad():
            return network(**inputs).sample  # type: ignore[no-any-return]

    return run


def _has_bf16_kernels() -> bool:
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def profiled_kernels(network: nn.Module, inputs: dict[str, Tensor]) -> dict[str, int]:
    """How many calls of integer kernels, and of linear layers and convolutions with floats, one pass makes."""
    from torch.profiler import ProfilerActivity, profile

    with torch.no_grad(), profile(activities=[ProfilerActivity.CPU]) as record:
        network(**inputs)
    calls = {event.key: event.count for event in record.key_averages()}
    integer = ("onednn::qlinear_pointwise", "onednn::qconv2d_pointwise")
    return {"integer": sum(calls.get(name, 0) for name in integer),
            "float": sum(calls.get(name, 0) for name in ("aten::linear", "aten::conv2d"))}
