"""A quantised UNet that OpenVINO computes, converted once for each file and version."""

import logging
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from diffkit.utils.user_cache import cache_folder

if TYPE_CHECKING:
    from torch import nn

    from diffkit.export.openvino import OpenVINOUNet

#: What ``kernels`` may be for OpenVINO, and the precision of what is not quantised.
PRECISIONS = {"openvino": "float32", "openvino-bf16": "bfloat16"}

_log = logging.getLogger("diffkit")


def openvino_unet(quantized: Path, network: "nn.Module", kernels: str, device: str = "cpu") -> "OpenVINOUNet":
    """Gives what stands in a pipeline for a quantised UNet; the conversion lies in the user's cache.

    Args:
        quantized: ``step<N>/unet_int8``.
        network: the UNet from there; it is used up.
        kernels: one of ``PRECISIONS``.
        device: kind of device of the pipeline.

    Raises:
        ImportError: OpenVINO is not installed.
        ValueError: the device is no CPU, or its integer products are wrong.
    """
    if device != "cpu":
        raise ValueError(f"kernels: {kernels!r} computes on a CPU, and the pipeline lies on {device}; give device "
                         "'cpu'.")
    from diffkit.export.openvino import OpenVINOUNet, openvino_version, write_openvino
    from diffkit.export.quantized import kernel_fault, quantized_layers, read_info

    layers = [layer for layer in quantized_layers(network).values() if layer.input_bits == 8]
    if layers and (fault := kernel_fault(layers)):
        raise ValueError(f"kernels: {kernels!r} cannot be trusted on this processor. Of integer kernels it was found "
                         f"that {fault}. Use 'dequantized'.")
    sha256 = read_info(quantized)["sha256"]
    folder = cache_folder() / "openvino" / f"{sha256[:24]}_{openvino_version()}"
    if not folder.is_dir():
        _log.warning(f"{quantized} is converted for OpenVINO, once; the result is kept in {folder}.")
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".new_") as made:
            write_openvino(network, Path(made) / "unet", {"quantized": str(quantized), "sha256": sha256})
            _put(Path(made) / "unet", folder)
    return OpenVINOUNet(folder, PRECISIONS[kernels])


def _put(made: Path, folder: Path) -> None:
    """Moves a finished folder to its name; another process may have been faster."""
    try:
        os.rename(made, folder)
    except OSError:
        if not folder.is_dir():
            raise
