"""A UNet as an ONNX file, its quantisation as operations that ONNX has for it."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from diffkit.export.quantized.frozen import FrozenLayer, PlainCall, example_inputs, freeze
from diffkit.export.quantized.layers import quantized_layers

MODEL_FILE = "model.onnx"
OPSET = 17
_AXES = {"sample": {0: "batch", 2: "height", 3: "width"}, "timestep": {0: "batch"},
         "encoder_hidden_states": {0: "batch", 1: "tokens"}, "text_embeds": {0: "batch"}, "time_ids": {0: "batch"}}


def write_onnx(network: nn.Module, folder: Path) -> Path:
    """Writes a UNet as ``model.onnx``, its weights in ``model.onnx_data`` beside it.

    Weights of quantised layers are int8 constants (of 4 bits too) behind ``DequantizeLinear``; their inputs go through
    ``QuantizeLinear`` and ``DequantizeLinear``. Batch, sides and length of the texts stay free; sides have to be
    divisible as in diffusers.

    Args:
        network: on the CPU; its quantised layers are used up by this.
        folder: made where it is missing.

    Returns:
        The file.

    Raises:
        ImportError: ``onnx`` is not installed.
        ValueError: it is no UNet of Stable Diffusion or SDXL, or the file does not hold its integers.
    """
    try:
        import onnx
    except ImportError as error:
        raise ImportError("this needs the package `onnx`: pip install onnx") from error
    examples = example_inputs(dict(network.config))  # type: ignore[arg-type]
    layers = len(quantized_layers(network))
    freeze(network.float().eval(), _OnnxLayer)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as traced:  # torch puts large models into many files
        _trace(network, examples, Path(traced) / MODEL_FILE)
        model = onnx.load(str(Path(traced) / MODEL_FILE))
    kept = sum(value.data_type == onnx.TensorProto.INT8 for value in model.graph.initializer)
    if kept != layers:
        raise ValueError(f"the ONNX file keeps the integers of {kept} of {layers} quantised layers: torch "
                         f"{torch.__version__} cannot be used here.")
    path, data = folder / MODEL_FILE, f"{MODEL_FILE}_data"
    (folder / data).unlink(missing_ok=True)  # onnx would append to it
    onnx.save_model(model, str(path), save_as_external_data=True, location=data, size_threshold=1024)
    onnx.checker.check_model(str(path))
    return path


def _trace(network: nn.Module, examples: Mapping[str, Tensor], path: Path) -> None:
    import warnings

    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the tracer: what it takes for constant is constant here
        torch.onnx.export(
            PlainCall(network), tuple(examples.values()), str(path), input_names=list(examples),
            output_names=["out_sample"], opset_version=OPSET, dynamo=False,  # the other one needs onnxscript
            dynamic_axes={**{name: _AXES[name] for name in examples}, "out_sample": _AXES["sample"]})


class _OnnxLayer(FrozenLayer):
    """A frozen layer whose roundings are operations of ONNX."""

    def __init__(self, layer: Any) -> None:
        super().__init__(layer)
        self.register_buffer("scale", torch.tensor(self.input_scale))
        self.register_buffer("zero", torch.tensor(self.input_zero_point, dtype=torch.uint8))

    def rounded(self, x: Tensor) -> Tensor:
        if self.last is None:
            return x
        if self.last < 255:  # codes of ONNX have 8 bits: values beyond the fewer ones are cut off before
            x = x.clamp(-self.input_zero_point * self.input_scale,
                        (self.last - self.input_zero_point) * self.input_scale)
        return _RoundedInput.apply(x, self.scale, self.zero, self.input_scale, self.input_zero_point)

    def float_weight(self) -> Tensor:
        return _FloatWeight.apply(self.weight, self.weight_scale)


class _RoundedInput(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, zero: Tensor, scale_: float, zero_: int) -> Tensor:
        return torch.fake_quantize_per_tensor_affine(x, scale_, zero_, 0, 255)

    @staticmethod
    def symbolic(graph: Any, x: Any, scale: Any, zero: Any, scale_: float, zero_: int) -> Any:
        return graph.op("DequantizeLinear", graph.op("QuantizeLinear", x, scale, zero), scale, zero)


class _FloatWeight(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, codes: Tensor, scale: Tensor) -> Tensor:
        return codes.float() * scale.view(-1, *[1] * (codes.ndim - 1))

    @staticmethod
    def symbolic(graph: Any, codes: Any, scale: Any) -> Any:
        return graph.op("DequantizeLinear", codes, scale, axis_i=0)
