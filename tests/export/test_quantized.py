"""A quantised network in files: codes, sizes, what is refused, and integer kernels."""

import json
import logging

import pytest
import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file, save_file
from torch import nn

from diffkit.export.artifacts import QuantizedArtifact
from diffkit.export.quantized import (
    dequantized,
    enable_kernels,
    kernel_fault,
    kernels,
    load_quantized,
    pack,
    quantized_bytes,
    quantized_copy,
    quantized_layers,
    unpack,
    write_quantized,
)
from diffkit.models.families.unet_configs import SD15
from diffkit.models.quantizers.qat import QATQuantizer
from diffkit.utils.hashes import file_sha256
from tests.tiny import SD_SPEC


def unet():
    torch.manual_seed(0)
    return UNet2DConditionModel(**SD_SPEC["unet"]).eval().requires_grad_(False)


def fake_quantised(**options):
    """A UNet with ranges: what one forward pass saw."""
    module, quantizer = unet(), QATQuantizer(**options)
    quantizer.swap(module)
    module.train()
    output(module)
    return module.eval()


@torch.no_grad()
def output(module, dtype=torch.float32):
    generator = torch.Generator().manual_seed(1)
    sample = torch.randn(2, 4, 16, 16, generator=generator).to(dtype)
    text = torch.randn(2, 7, 32, generator=generator).to(dtype)
    return module(sample, torch.tensor([20, 700]), encoder_hidden_states=text).sample


def artifact(module):
    return QuantizedArtifact("unet", module, "mini-sd", "f" * 64, {"weights": "mse"})


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A module with weights of 4 and 8 bits, and its folder."""
    module = fake_quantised(weight_bits=4, rules={"^conv_(in|out)$": {"weight_bits": 8}}, skip=["time_embedding"])
    folder = tmp_path_factory.mktemp("saved")
    write_quantized(artifact(module), folder)
    return module, folder / "unet_int8"


@pytest.fixture
def copied(saved, tmp_path):
    for file in saved[1].iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path


@pytest.mark.parametrize("shape", [(3, 5), (2, 4, 3, 3), (1, 1), (6, 8)])
def test_codes_of_four_bits_come_back(shape):
    codes = torch.randint(-8, 8, shape, generator=torch.Generator().manual_seed(0), dtype=torch.int8)
    stored = pack(codes, 4)
    assert stored.dtype == torch.uint8 and stored.numel() == shape[0] * ((codes[0].numel() + 1) // 2)
    assert torch.equal(unpack(stored, 4, shape), codes)
    assert torch.equal(unpack(pack(codes, 3), 3, shape), codes)
    assert pack(codes, 5) is codes


def test_the_low_half_of_a_byte_is_the_first_code():
    assert pack(torch.tensor([[1, -2, 7]], dtype=torch.int8), 4).tolist() == [[0xE1, 0x07]]


def test_a_saved_network_comes_back_bit_for_bit_and_without_float_weights(saved):
    module, folder = saved
    loaded = load_quantized(folder)
    assert torch.equal(output(loaded), output(module))
    assert not loaded.training and not any(value.requires_grad for value in loaded.parameters())
    layers = quantized_layers(loaded)
    assert len(layers) == 280 and not isinstance(loaded.time_embedding.linear_1, type(layers["conv_in"]))
    weights = [layer.weight.dtype for layer in layers.values()]
    assert set(weights) == {torch.int8, torch.uint8} and weights.count(torch.int8) == 2


def test_the_memory_is_that_of_the_file(saved):
    loaded = load_quantized(saved[1])
    held = sum(value.nbytes for value in [*loaded.parameters(), *loaded.buffers()])
    in_file = sum(value.nbytes for value in load_file(saved[1] / "quantized.safetensors").values())
    assert held == in_file == quantized_bytes(saved[0])
    assert held < sum(value.nbytes for value in unet().parameters()) / 3  # it is tiny: much of it is biases and norms


def test_the_description_says_what_it_is(saved):
    info = json.loads((saved[1] / "quantization.json").read_text())
    assert info["source"] == {"pretrained": "mini-sd", "sha256": "f" * 64}
    assert info["ranges"] == {"weights": "mse"} and info["class"] == "UNet2DConditionModel"
    entry = info["layers"]["conv_in"]
    assert (entry["weight_bits"], entry["input_bits"], entry["shape"]) == (8, 8, [8, 4, 3, 3])
    low, high = entry["input_range"]
    assert low < -2 and high > 2


def test_casts_leave_scales_exact(saved):
    loaded = load_quantized(saved[1], torch.bfloat16)
    exact = load_quantized(saved[1])
    for name, layer in quantized_layers(loaded).items():
        assert torch.equal(layer.weight_scale, quantized_layers(exact)[name].weight_scale)
        assert layer.bias is None or layer.bias.dtype == torch.bfloat16
    found, wanted = output(loaded, torch.bfloat16), output(exact)
    assert found.dtype == torch.bfloat16
    assert float((found - wanted).square().mean() / wanted.square().mean()) < 0.1


def test_dequantised_layers_are_plain_and_have_the_codes_values(saved):
    loaded = load_quantized(saved[1])
    wanted = {name: layer.dequantized_weight() for name, layer in quantized_layers(loaded).items()}
    plain = dequantized(loaded)
    assert not quantized_layers(plain)
    assert all(torch.equal(plain.get_submodule(name).weight, value) for name, value in wanted.items())
    assert type(plain.conv_in) is nn.Conv2d and torch.isfinite(output(plain)).all()


def edit_info(folder, change):
    path = folder / "quantization.json"
    info = json.loads(path.read_text())
    change(info)
    path.write_text(json.dumps(info))


def edit_tensors(folder, change):
    """A damaged file whose hash the description knows, so that the next check has to see it."""
    path = folder / "quantized.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)
    edit_info(folder, lambda info: info.update(sha256=file_sha256(path)))


def flip(folder):
    path = folder / "quantized.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


INFO_FAULTS = {
    "format": (lambda info: info.update(format=2), "has format 2"),
    "class": (lambda info: info.update({"class": "ControlNetModel"}), "describes a 'ControlNetModel'"),
    "layers": (lambda info: info.update(layers=[]), "layers is not what this program writes"),
    "unknown layer": (lambda info: info["layers"].update(nowhere=info["layers"]["conv_in"]), "names a layer 'nowhere'"),
    "bits": (lambda info: info["layers"]["conv_in"].update(weight_bits=4), "does not fit its description"),
    "impossible bits": (lambda info: info["layers"]["conv_in"].update(weight_bits=99), "weight_bits is 99"),
    "shape": (lambda info: info["layers"]["conv_in"].update(shape=[1]), "says that 'conv_in' is"),
    "no such layer kind": (lambda info: info["layers"].update(conv_norm_out=info["layers"]["conv_in"]), "GroupNorm"),
    "layer left out": (lambda info: info["layers"].pop("conv_in"), "does not fit its description"),
    "other network": (lambda info: info["config"].update(block_out_channels=[8, 16, 32, 64]), "says that"),
    "config": (lambda info: info["config"].update(down_block_types=["Nothing"]), "config that makes no"),
}
TENSOR_FAULTS = {
    "missing": (lambda tensors: tensors.pop("conv_in.weight_scale"), "conv_in.weight_scale is missing"),
    "unknown": (lambda tensors: tensors.update(more=torch.ones(1)), "more is unknown"),
    "floats": (lambda tensors: tensors.update({"conv_in.weight": torch.ones(8, 4, 3, 3)}), "instead of torch.int8"),
    "scale": (lambda tensors: tensors["conv_in.weight_scale"].zero_(), "not above 0"),
    "zero point": (lambda tensors: tensors["conv_in.input_zero_point"].fill_(256), "is no code of 8 bits"),
    "not finite": (lambda tensors: tensors["conv_norm_out.weight"].fill_(float("nan")), "not finite"),
}


@pytest.mark.parametrize("fault", INFO_FAULTS)
def test_a_description_that_does_not_fit_is_refused(copied, fault):
    change, message = INFO_FAULTS[fault]
    edit_info(copied, change)
    with pytest.raises(ValueError, match=message):
        load_quantized(copied)


@pytest.mark.parametrize("fault", TENSOR_FAULTS)
def test_tensors_that_do_not_fit_are_refused(copied, fault):
    change, message = TENSOR_FAULTS[fault]
    edit_tensors(copied, change)
    with pytest.raises(ValueError, match=message):
        load_quantized(copied)


def test_a_changed_byte_is_refused(copied):
    flip(copied)
    with pytest.raises(ValueError, match="SHA-256"):
        load_quantized(copied)


@pytest.mark.parametrize("file", ["quantized.safetensors", "quantization.json"])
def test_a_missing_file_is_named(copied, file):
    (copied / file).unlink()
    with pytest.raises(ValueError, match=f"has no {file}"):
        load_quantized(copied)


def test_sizes_at_the_shape_of_stable_diffusion_1_5():
    """Arithmetic on the real shapes: 3279 MiB as floats, 827 with 8 bits in the example that this follows."""
    with torch.device("meta"):
        floats = UNet2DConditionModel(**SD15)
    whole = sum(value.nbytes for value in floats.parameters())
    assert round(whole / 2**20) == 3279
    ratios = {}
    for bits in (8, 4):
        with torch.device("meta"):
            module = UNet2DConditionModel(**SD15)
        QATQuantizer(weight_bits=bits, rules={"^conv_(in|out)$": {"weight_bits": 8}}).swap(module)
        ratios[bits] = whole / quantized_bytes(module)
    assert ratios[8] >= 3.9 and ratios[4] >= 7


# --- integer kernels


def has_kernels():
    layer = quantized_layers(quantized_copy(fake_quantised()))["conv_in"]
    return not kernel_fault([layer])


def test_kernels_compute_what_the_reference_computes():
    if not has_kernels():
        pytest.skip("this CPU's integer products saturate")
    module = quantized_copy(fake_quantised(rules={"time_emb_proj": {"activation_bits": None}}))
    reference, inputs = {}, {}
    hooks = [layer.register_forward_hook(lambda _, x, y, name=name: (inputs.update({name: x[0]}),
                                                                     reference.update({name: y}), None)[2])
             for name, layer in quantized_layers(module).items()]
    output(module)
    for hook in hooks:
        hook.remove()
    state = module.state_dict()
    count = enable_kernels(module, "kernels")
    layers = quantized_layers(module)
    assert count == len([layer for layer in layers.values() if layer.input_bits == 8]) > 200
    for name, layer in layers.items():
        error = (layer(inputs[name]) - reference[name]).square().mean() / reference[name].square().mean()
        assert float(error) < 1e-4, name  # an input on the border of two codes may fall to either side
    again = module.state_dict()
    assert state.keys() == again.keys() and all(torch.equal(state[name], again[name]) for name in state)


def test_kernels_hold_the_codes_once():
    if not has_kernels():
        pytest.skip("this CPU's integer products saturate")
    module = quantized_copy(fake_quantised())
    layer = quantized_layers(module)["conv_in"]
    codes = layer.codes().clone()
    layer.use_kernels(True)
    assert layer.weight.numel() == 0 and torch.equal(layer.codes(), codes)
    module.to("cpu")
    assert layer.uses_kernels
    layer.use_kernels(False)
    assert torch.equal(layer.weight, codes)


def test_kernels_that_saturate_are_not_used(monkeypatch, caplog):
    """What a CPU without VNNI does: sums of two products are cut to 16 bits."""
    module = quantized_copy(fake_quantised())
    wanted = output(module)
    monkeypatch.setattr(kernels.PackedLinear, "__call__", lambda self, x: saturated(self, x))
    monkeypatch.setattr(kernels.PackedConv2d, "__call__", lambda self, x: saturated(self, x))
    with caplog.at_level(logging.WARNING, logger="diffkit"):
        assert enable_kernels(module, "kernels") == 0
    assert "integer kernels of this CPU are not used" in caplog.text
    assert torch.equal(output(module), wanted)


def saturated(packed, x):
    """The reference with inputs cut where two products of large codes would overflow."""
    codes = packed.input_codes(x).float().clamp(max=128) - packed.zero_point
    weight = packed.codes().float() * packed.weight_scale.view(-1, *[1] * (packed.codes().ndim - 1))
    if weight.ndim == 2:
        return nn.functional.linear(codes * packed.scale, weight, packed.bias)
    stride, padding, dilation, groups = packed.form
    return nn.functional.conv2d(codes * packed.scale, weight, packed.bias, stride, padding, dilation, groups)


def test_kernels_that_fail_are_not_used(monkeypatch, caplog):
    module = quantized_copy(fake_quantised())

    def fail(self, x):
        raise RuntimeError("could not create a primitive")

    monkeypatch.setattr(kernels.PackedLinear, "__call__", fail)
    monkeypatch.setattr(kernels.PackedConv2d, "__call__", fail)
    with caplog.at_level(logging.WARNING, logger="diffkit"):
        assert enable_kernels(module, "kernels") == 0
    assert "could not create a primitive" in caplog.text


def test_a_small_network_gains_nothing_from_kernels():
    module = quantized_copy(fake_quantised())
    assert enable_kernels(module) == 0 and enable_kernels(module, "dequantized") == 0
    with pytest.raises(ValueError, match="backend is 'gpu'"):
        enable_kernels(module, "gpu")
