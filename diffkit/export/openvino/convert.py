"""A UNet in OpenVINO's own format, its quantisation kept."""

import json
import logging
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from diffkit.export.openvino.library import load_openvino_library, openvino_version
from diffkit.export.quantized.frozen import PlainCall, example_inputs, freeze, latent_multiple
from diffkit.export.quantized.layers import quantized_layers
from diffkit.utils.hashes import file_sha256
from diffkit.version import __version__

MODEL_FILE = "openvino_model.xml"
WEIGHTS_FILE = "openvino_model.bin"
INFO_FILE = "openvino.json"
FORMAT = 1


def write_openvino(network: nn.Module, folder: Path, source: Mapping[str, Any] | None = None) -> Path:
    """Writes a UNet as ``openvino_model.xml`` and ``.bin``, and a description.

    Batch, sides of the latents and length of the texts stay free. Weights of quantised layers stay integers of 8 bits
    (of 4 bits too). All else is float32.

    Args:
        network: on the CPU; its quantised layers are used up by this.
        folder: made where it is missing.
        source: what it was made of, JSON values for the description.

    Returns:
        The folder.

    Raises:
        ImportError: OpenVINO is not installed.
        ValueError: it is no UNet of Stable Diffusion or SDXL, or the quantisation was lost on the way.
    """
    library = load_openvino_library()
    config = {key: value for key, value in dict(network.config).items() if not key.startswith("_")}  # type: ignore
    examples = example_inputs(config)
    quantized = len(quantized_layers(network))
    integers = freeze(network.float().eval())
    model = _converted(library, network, examples)
    kept = sum(1 for op in model.get_ops()
               if op.get_type_name() == "Constant" and op.get_element_type() == library.Type.i8)
    if kept != quantized:
        raise ValueError(f"OpenVINO kept the integers of {kept} of {quantized} quantised layers: version "
                         f"{openvino_version()} cannot be used here.")
    folder.mkdir(parents=True, exist_ok=True)
    library.save_model(model, str(folder / MODEL_FILE), compress_to_fp16=False)
    info = {"format": FORMAT, "class": type(network).__name__, "config": json.loads(json.dumps(config)),
            "inputs": list(examples), "latent_multiple": latent_multiple(config), "quantized_layers": quantized,
            "integer_layers": integers, "source": dict(source or {}),
            "sha256": {name: file_sha256(folder / name) for name in (MODEL_FILE, WEIGHTS_FILE)},
            "versions": {"diffkit": __version__, "torch": torch.__version__, "openvino": openvino_version()}}
    (folder / INFO_FILE).write_text(json.dumps(info, indent=1) + "\n", encoding="utf-8")
    return folder


def _converted(library: Any, network: nn.Module, examples: dict[str, Tensor]) -> Any:
    """The network as a model of OpenVINO whose inputs have names and free sizes."""
    shapes = {"sample": [-1, examples["sample"].shape[1], -1, -1], "timestep": [-1],
              "encoder_hidden_states": [-1, -1, examples["encoder_hidden_states"].shape[2]]}
    wanted = [(name, library.PartialShape(shapes.get(name, [-1, *value.shape[1:]])),
               library.Type.i64 if value.dtype == torch.int64 else library.Type.f32)
              for name, value in examples.items()]
    log = logging.getLogger("openvino")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the tracer: what it takes for constant is constant here
            return library.convert_model(PlainCall(network), example_input=tuple(examples.values()), input=wanted)
    finally:
        log.setLevel(level)
