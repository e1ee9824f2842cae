"""A UNet as an ONNX file: what onnxruntime computes is what torch computes, and the integers stay integers."""

import pytest
import torch
from diffusers import UNet2DConditionModel

from diffkit.export.artifacts import QuantizedArtifact
from diffkit.export.quantized import load_quantized, quantized_layers, write_quantized
from diffkit.export.quantized.frozen import example_inputs
from diffkit.models.quantizers.qat import QATQuantizer
from tests.tiny import SD_SPEC, SDXL_SPEC

pytest.importorskip("onnx", reason="onnx is not installed")
runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

from diffkit.export.onnx import write_onnx  # noqa: E402

FEWER = {"block_out_channels": (16, 32), "layers_per_block": 1, "mid_block_type": None}
SD = {**SD_SPEC["unet"], **FEWER, "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
      "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D")}
SDXL = {**SDXL_SPEC["unet"], **FEWER, "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"), "transformer_layers_per_block": (1, 1),
        "attention_head_dim": (2, 4)}
RULES = {"^conv_(in|out)$": {"weight_bits": 8}, "conv_shortcut": {"activation_bits": None},
         "proj_in": {"activation_bits": 6}}


def call(network, inputs):
    inputs = dict(inputs)
    added = {name: inputs.pop(name) for name in ("text_embeds", "time_ids") if name in inputs}
    with torch.no_grad():
        return network(**inputs, **({"added_cond_kwargs": added} if added else {})).sample


def quantised(spec, folder, **options):
    torch.manual_seed(0)
    unet = UNet2DConditionModel(**spec).eval().requires_grad_(False)
    inputs = example_inputs(dict(unet.config))
    QATQuantizer(**options).swap(unet)
    call(unet.train(), inputs)
    write_quantized(QuantizedArtifact("unet", unet.eval(), "a model", "f" * 64), folder)
    return folder / "unet_int8", inputs


def session(path, level):
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    options.graph_optimization_level = getattr(runtime.GraphOptimizationLevel, level)
    return runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def run(opened, inputs):
    return torch.from_numpy(opened.run(None, {name: value.numpy() for name, value in inputs.items()})[0])


def relative(found, wanted):
    return float((found - wanted).square().mean() / wanted.square().mean())


@pytest.mark.parametrize("spec", [SD, SDXL], ids=["sd", "sdxl"])
def test_onnxruntime_computes_what_torch_computes(spec, tmp_path):
    source, inputs = quantised(spec, tmp_path, weight_bits=4, rules=RULES)
    reference = load_quantized(source)
    path = write_onnx(load_quantized(source), tmp_path / "onnx")
    other = {**inputs, "sample": torch.randn(2, 4, 8, 14), "encoder_hidden_states": torch.randn(
        2, 9, spec["cross_attention_dim"])}
    for level in ("ORT_DISABLE_ALL", "ORT_ENABLE_ALL"):
        opened = session(path, level)
        assert relative(run(opened, inputs), call(reference, inputs)) < 1e-10
        # codes of other inputs can lie on a border; then later layers round otherwise
        assert relative(run(opened, other), call(reference, other)) < 0.05


def test_the_file_has_the_size_of_the_integers(tmp_path):
    source, _ = quantised(SD, tmp_path, weight_bits=4)
    codes = sum(torch.Size(layer.shape).numel() for layer in quantized_layers(load_quantized(source)).values())
    write_onnx(load_quantized(source), tmp_path / "onnx")
    files = {path.name: path.stat().st_size for path in (tmp_path / "onnx").iterdir()}
    assert set(files) == {"model.onnx", "model.onnx_data"}
    assert 0.9 * codes < files["model.onnx_data"] < 1.5 * codes  # tensors below 1 KiB lie in the other file


def test_float_unets_too(tmp_path):
    torch.manual_seed(0)
    unet = UNet2DConditionModel(**SD).eval()
    inputs = example_inputs(dict(unet.config))
    wanted = call(unet, inputs)
    (tmp_path / "notes.txt").write_text("mine")
    assert relative(run(session(write_onnx(unet, tmp_path), "ORT_ENABLE_ALL"), inputs), wanted) < 1e-10
    assert {path.name for path in tmp_path.iterdir()} == {"model.onnx", "model.onnx_data", "notes.txt"}
