"""neural-compressor's algorithms: what they make of layers, what is kept of it, and their faults in words."""

from inspect import signature

import pytest
import torch
from diffusers import UNet2DConditionModel
from mmengine.config import Config
from torch import nn

from diffkit.export.quantized import load_quantized, read_info, write_quantized
from diffkit.models import LatentDiffusion, NeuralCompressorQuantizer
from diffkit.models.quantizers import compressor_library
from diffkit.models.quantizers.compressor_layers import CompressedLinear, compress
from diffkit.models.quantizers.compressor_static import static_graph
from diffkit.models.quantizers.compressor_weights import code_bits, round_weight
from diffkit.utils.config_check import check_config
from diffkit.utils.config_check.faults import ConfigError

NEEDED = pytest.mark.skipif(not compressor_library.is_available(), reason="neural-compressor is not installed")
CONFIG = "configs/quantization/mini_sd_ptq_nc_rtn.py"
#: All linear layers but those of the middle block stay as they are, so that tests are short.
MIDDLE = [r"^(down|up)_blocks", "^time_embedding"]


def linear(inputs=64, outputs=24):
    torch.manual_seed(0)
    return nn.Linear(inputs, outputs)


def correlated(inputs=64, count=512):
    torch.manual_seed(1)
    return torch.randn(count, inputs) @ torch.randn(inputs, inputs)


def build(folder, **quantizer):
    return LatentDiffusion(
        family={"type": "StableDiffusion"}, pretrained=str(folder),
        tuners={"unet": {"type": "FullTuner", "component": "unet"}},
        quantizer={"type": "NeuralCompressorQuantizer", "skip": MIDDLE, **quantizer},
        generation={"num_inference_steps": 1, "guidance_scale": 4.0})


def output(network):
    generator = torch.Generator().manual_seed(1)
    sample, text = (torch.randn(shape, generator=generator) for shape in ((2, 4, 16, 16), (2, 7, 32)))
    with torch.no_grad():
        return network.eval()(sample, torch.tensor([20, 700]), encoder_hidden_states=text).sample


# --- options


def test_an_unknown_algorithm_or_option_is_refused_with_the_nearest_names():
    with pytest.raises(ValueError, match=r"algorithm is 'gptk'; did you mean \"gptq\"\?"):
        NeuralCompressorQuantizer("gptk")
    with pytest.raises(ValueError, match=r"rtn has no option 'groupsize'; did you mean \"group_size\""):
        NeuralCompressorQuantizer("rtn", {"groupsize": 32})
    with pytest.raises(ValueError, match="skip is not for static"):
        NeuralCompressorQuantizer("static", skip=["conv_in"])


def test_the_check_of_configs_finds_both_before_anything_is_loaded():
    for options, words in (({"model.quantizer.algorithm": "awq"}, "algorithm is 'awq'"),
                           ({"model.quantizer.options": {"groupsize": 32}}, "rtn has no option 'groupsize'")):
        with pytest.raises(ConfigError, match=words):
            check_config(Config.fromfile(CONFIG), options)


@NEEDED
def test_the_installed_library_has_all_options():
    for algorithm, names in compressor_library.OPTIONS.items():
        kind = compressor_library.library_config(algorithm, {})
        assert set(names) <= set(signature(type(kind)).parameters), algorithm


def test_what_one_scale_for_each_channel_stands_for_becomes_codes():
    assert code_bits("rtn", {"group_size": -1}, 64) == 4
    assert code_bits("gptq", {"group_size": 64, "dtype": "int8"}, 64) == 8
    for options in ({}, {"group_size": 32}, {"group_size": -1, "use_sym": False}, {"group_size": -1, "dtype": "nf4"},
                    {"group_size": -1, "use_full_range": True}, {"group_size": -1, "use_double_quant": True}):
        assert code_bits("rtn", options, 64) is None, options
    assert code_bits("hqq", {"group_size": -1}, 64) is None


# --- weights


@NEEDED
def test_rtn_gives_the_nearest_codes():
    layer = linear()
    found = round_weight("layer", layer, "rtn", {"bits": 4, "group_size": -1}, None)
    scale = layer.weight.detach().abs().amax(1) / 7
    assert torch.equal(found.scale, scale)
    assert torch.equal(found.codes, (layer.weight.detach() / scale[:, None]).round().clamp(-8, 7).to(torch.int8))


@NEEDED
def test_gptq_changes_outputs_less_than_rtn_does():
    layer, inputs = linear(), correlated()
    errors = {}
    for algorithm in ("rtn", "gptq"):
        found = round_weight("layer", layer, algorithm, {"bits": 4, "group_size": -1}, inputs)
        assert found.codes.min() >= -8 and found.codes.max() <= 7
        errors[algorithm] = ((found.codes * found.scale[:, None] - layer.weight) @ inputs.T).square().mean().item()
    assert errors["gptq"] < 0.8 * errors["rtn"]


@NEEDED
def test_groups_are_kept_as_floats_of_few_values():
    weight = linear().weight.detach()
    found = round_weight("layer", linear(), "hqq", {"bits": 4, "group_size": 64}, None)
    assert found.codes is None and 0 < (found.floats - weight).square().mean() < 0.02 * weight.square().mean()
    columns = found.floats.reshape(64, -1)  # HQQ's groups
    assert max(len(column.unique()) for column in columns.T) <= 16
    found = round_weight("layer", linear(), "rtn", {"bits": 4, "group_size": 32}, None)
    assert max(len(row.unique()) for row in found.floats.reshape(-1, 32)) <= 16


@NEEDED
def test_one_group_alone_is_no_overflow():
    """In the library's float16 its quantised zero point is infinite."""
    layer = linear(8, 8)
    found = round_weight("layer", layer, "hqq", {"bits": 4, "group_size": 64}, None)
    assert (found.floats - layer.weight.detach()).square().mean() < 0.02 * layer.weight.square().mean()


@NEEDED
def test_a_fault_of_the_library_is_told_as_it_is():
    with pytest.raises(ValueError, match=r"neural-compressor \d.*failed at layer 'a\.b' \(hqq, .*says: AssertionErr"):
        round_weight("a.b", linear(), "hqq", {"group_size": 7}, None)


# --- models


@NEEDED
@pytest.mark.parametrize("quantizer", [
    {"algorithm": "gptq", "options": {"bits": 4, "group_size": -1}},
    {"algorithm": "hqq", "options": {"bits": 4, "group_size": 8}}], ids=["codes", "floats"])
def test_what_is_written_computes_what_was_measured(sd_folder, tmp_path, quantizer):
    model = build(sd_folder, **quantizer)
    before = output(model.unet)
    model.quantizer.calibrate(model, ["a dog", "a cat"], batch_size=2)
    rounded = output(model.unet)
    with model.quantizer.disabled(model):
        assert torch.equal(output(model.unet), before)
    assert not torch.equal(rounded, before)
    write_quantized(model.quantizer.artifact(model), tmp_path)
    assert torch.equal(output(load_quantized(tmp_path / "unet_int8")), rounded)
    about, layers = read_info(tmp_path / "unet_int8")["ranges"], read_info(tmp_path / "unet_int8")["layers"]
    codes = quantizer["algorithm"] == "gptq"
    assert len(layers) == about["integer_weights"] and bool(layers) == codes
    assert bool(about["rounded_float_weights"]) != codes and about["options"] == quantizer["options"]
    assert ("kept as float32" in " ".join(model.quantizer.calibration_report(model, 2))) != codes
    other = build(sd_folder, **quantizer)
    other.quantizer.load_state(other, model.quantizer.state(model))
    assert torch.equal(output(other.unet), rounded)


def test_a_layer_computes_as_before_until_it_is_filled():
    layer, x = linear(), correlated()
    before = layer(x)
    compress(layer, 8, True, 8)
    assert type(layer) is CompressedLinear and torch.equal(layer(x), before)
    with pytest.raises(ValueError, match="never calibrated"):
        layer.layer_codes()
    values = {"codes": torch.ones(24, 64, dtype=torch.int8), "weight_scale": torch.full((24,), 0.5),
              "input_scale": torch.tensor(2.0), "input_zero_point": torch.tensor(100)}
    layer.fill(values)
    rounded = ((x / 2).round() + 100).clamp(0, 255) - 100
    assert torch.allclose(layer(x), rounded.sum(1, keepdim=True) + layer.bias, rtol=1e-5)


@NEEDED
@pytest.mark.slow
def test_static_reads_the_codes_and_ranges_of_the_librarys_graph():
    torch.manual_seed(0)
    network = UNet2DConditionModel(
        sample_size=8, block_out_channels=(8,), layers_per_block=1, norm_num_groups=4, attention_head_dim=2,
        cross_attention_dim=16, down_block_types=("DownBlock2D",), up_block_types=("UpBlock2D",)).eval()
    calls = [(torch.randn(2, 4, 8, 8), torch.tensor(time), torch.randn(2, 5, 16)) for time in (900, 100)]
    graph = static_graph(network, calls, {}, calls[:1])
    layers = {name: layer for name, layer in network.named_modules() if type(layer) in (nn.Linear, nn.Conv2d)}
    assert graph.layers.keys() == layers.keys() and graph.others > 0
    for name, layer in layers.items():
        found, shape = graph.layers[name], (-1, *[1] * (layer.weight.ndim - 1))
        assert (found.codes * found.scale.view(shape) - layer.weight).abs().max() <= 0.51 * found.scale.max(), name
        compress(layer, 8, True, 8)
        layer.fill(vars(found) | {"weight_scale": found.scale})
    sample = calls[0][0]
    low, high = min(call[0].min() for call in calls), max(call[0].max() for call in calls)
    first = graph.layers["conv_in"]
    assert 0.9 * (high - low) / 255 < first.input_scale <= (high - low) / 255 * 1.001
    with torch.no_grad():
        kept = network(*calls[0]).sample
        for layer in layers.values():
            layer.quantizing = False
        exact = network(*calls[0]).sample
    assert kept.shape == sample.shape
    errors = [(found - exact).square().mean() / exact.square().mean() for found in (kept, graph.outputs[0])]
    assert 0 < errors[0] < 0.01 and 0 < errors[1] < 0.05
