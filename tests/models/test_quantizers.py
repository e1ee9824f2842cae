"""Fake quantisation: ranges, gradients, which layers it meets, and what stays as it was."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from diffkit.export.quantized import quantized_copy
from diffkit.models import LatentDiffusion
from diffkit.models.quantizers.closeness import Answers, Distances, compare, gain, psnr
from diffkit.models.quantizers.fake_quant import (
    InputQuantizer,
    fake_quantize_input,
    fake_quantize_weight,
    learned_quantize,
)
from diffkit.models.quantizers.layers import QATLayer
from diffkit.models.quantizers.qat import QATQuantizer
from diffkit.models.quantizers.ranges import InputRecord, affine, least_error_range, weight_scale
from diffkit.models.quantizers.rules import Bits, assign_bits

FULL = {"unet": {"type": "FullTuner", "component": "unet"}}


def build(folder, tuners=FULL, quantizer=None, **options):
    torch.manual_seed(0)
    return LatentDiffusion(
        family={"type": "StableDiffusion"}, pretrained=str(folder), tuners=tuners,
        quantizer={"type": "QATQuantizer", "weight_range": "percentile", "activation_range": "minmax",
                   **(quantizer or {})},
        generation={"num_inference_steps": 1, "guidance_scale": 4.0}, **options)


def batch():
    generator = torch.Generator().manual_seed(0)
    return {"pixel_values": torch.rand(2, 3, 32, 32, generator=generator) * 2 - 1, "prompt": ["a dog", ""],
            "key": [None, None]}


def output(module, dtype=torch.float32):
    generator = torch.Generator().manual_seed(1)
    sample = torch.randn(2, 4, 16, 16, generator=generator).to(dtype)
    text = torch.randn(2, 7, 32, generator=generator).to(dtype)
    return module(sample, torch.tensor([20, 700]), encoder_hidden_states=text).sample


# --- ranges


def test_an_affine_range_has_a_code_for_zero():
    scale, zero = affine(torch.tensor(-1.0), torch.tensor(3.0), 8)
    assert float(scale) == pytest.approx(4 / 255) and int(zero) == 64
    scale, zero = affine(torch.tensor(0.5), torch.tensor(2.0), 4)  # begins at 0 all the same
    assert float(scale) == pytest.approx(2 / 15) and int(zero) == 0


def test_weights_have_the_range_that_was_asked_for():
    weight = torch.cat([torch.arange(-50.0, 50.0), torch.tensor([400.0])])[None] / 100
    assert weight_scale(weight, 8, "minmax").item() == pytest.approx(4 / 127)
    assert weight_scale(weight, 8, "percentile", 99.0).item() == pytest.approx(0.5 / 127)
    error = {}
    for kind in ("minmax", "percentile", "mse"):
        scale = weight_scale(weight, 4, kind, 99.0)
        error[kind] = float((fake_quantize_weight(weight, scale, 4) - weight).square().mean())
    assert error["mse"] <= min(error["minmax"], error["percentile"])


def test_the_range_of_least_error_is_the_best_of_those_tried():
    generator = torch.Generator().manual_seed(0)
    values = torch.cat([torch.randn(4000, generator=generator), torch.tensor([-3.0, 30.0])])
    low, high = least_error_range(values, values.min(), values.max(), 4)
    assert high < 30

    def error(low, high):
        return float((fake_quantize_input(values, *affine(low, high, 4), 4) - values).square().mean())

    assert error(low, high) < error(values.min(), values.max())
    assert error(low, high) <= min(error(values.min(), values.max() * 10**(-k / 7)) for k in range(14)) + 1e-9


def test_a_record_of_inputs_gives_each_kind_of_range():
    record = InputRecord(samples=2000, momentum=0.25)
    record.add(torch.linspace(-1, 1, 1000))
    record.add(torch.linspace(-2, 5, 1000))
    assert [float(value) for value in record.range("minmax", 8)] == [-2, 5]
    assert [float(value) for value in record.range("moving_average", 8)] == [-1.25, 2]
    low, high = record.range("percentile", 8, 90.0)
    ordered = torch.cat(record.values).sort().values
    assert float(low) == ordered[round(0.05 * 3999)] and float(high) == ordered[round(0.95 * 3999)]


# --- gradients


def test_the_gradient_passes_straight_through_and_stops_where_codes_end():
    x = torch.tensor([-0.3, 0.0, 0.26, 0.74, 1.9], requires_grad=True)
    y = fake_quantize_input(x, torch.tensor(0.1), torch.tensor(2, dtype=torch.int32), 4)  # codes 0..15: -0.2 to 1.3
    torch.testing.assert_close(y, torch.tensor([-0.2, 0.0, 0.3, 0.7, 1.3]))
    y.backward(torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0]))
    assert x.grad.tolist() == [0.0, 2.0, 3.0, 4.0, 0.0]


def test_weights_are_rounded_for_each_channel():
    weight = torch.tensor([[0.11, -0.5], [3.0, -9.0]], requires_grad=True)
    y = fake_quantize_weight(weight, torch.tensor([0.1, 1.0]), 4)
    torch.testing.assert_close(y, torch.tensor([[0.1, -0.5], [3.0, -8.0]]))
    y.sum().backward()
    assert weight.grad.tolist() == [[1.0, 1.0], [1.0, 0.0]]


def test_a_learned_scale_has_the_gradient_of_lsq():
    x = torch.tensor([0.26, -0.5, 3.0, 0.14], requires_grad=True)
    scale = torch.tensor(0.1, requires_grad=True)
    y = learned_quantize(x, scale, 0, -8, 7)
    torch.testing.assert_close(y, torch.tensor([0.3, -0.5, 0.7, 0.1]))
    y.sum().backward()
    assert x.grad.tolist() == [1.0, 1.0, 0.0, 1.0]
    by_hand = (3 - 2.6) + (-5 + 5.0) + 7 + (1 - 1.4)  # round(x/s) - x/s where free, the last code where clamped
    assert float(scale.grad) == pytest.approx(by_hand / math.sqrt(4 * 7), rel=1e-4)


def test_a_learned_input_scale_moves_and_stays_positive():
    quantizer = InputQuantizer(4, learned=True)
    quantizer.set_range(torch.tensor(-1.0), torch.tensor(8.0))
    assert quantizer.log_scale.exp().item() == pytest.approx(9 / 15)
    optimizer = torch.optim.Adam(quantizer.parameters(), lr=0.1)
    x = torch.rand(2000, generator=torch.Generator().manual_seed(0))  # needs no range up to 8
    before = float((quantizer(x) - x).square().mean())
    for _ in range(60):
        optimizer.zero_grad()
        (quantizer(x) - x).square().mean().backward()
        optimizer.step()
    assert float((quantizer(x) - x).square().mean()) < before / 4
    assert float(quantizer.parameters_of_codes()[0]) > 0


# --- which layers


def test_rules_and_skips_decide_the_bits():
    names = ["conv_in", "block.to_q", "block.ff", "conv_out"]
    found = assign_bits(names, Bits(4, 8), {"conv_(in|out)": {"weight_bits": 8}, "out": {"activation_bits": None}},
                        ["ff"])
    assert found == {"conv_in": Bits(8, 8), "block.to_q": Bits(4, 8), "conv_out": Bits(8, None)}


@pytest.mark.parametrize(("options", "message"), [
    ({"weight_bits": 9}, "weight_bits is 9"),
    ({"activation_bits": 1}, "activation_bits is 1"),
    ({"weight_range": "max"}, "weight_range is 'max'"),
    ({"activation_range": "mean"}, "activation_range is 'mean'"),
    ({"percentile": 50}, "percentile is 50"),
    ({"momentum": 0}, "momentum is 0"),
    ({"track_iters": 5, "learned_scales": True}, "give one of them"),
    ({"skip": "conv_in"}, "skip is 'conv_in'"),
])
def test_mistakes_of_the_quantizer_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        QATQuantizer(**options)


@pytest.mark.parametrize(("options", "message"), [
    ({"rules": {"conv_inn$": {}}}, "rules.*no layer matches 'conv_inn\\$'"),
    ({"rules": {"conv_in": {"bits": 4}}}, "rules\\['conv_in'\\].*bits"),
    ({"rules": {"conv_in": {"weight_bits": 1}}}, "weight_bits is 1"),
    ({"skip": ["("]}, "not a regular expression"),
    ({"skip": ["."]}, "leaves no layer"),
])
def test_patterns_that_do_not_fit_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        QATQuantizer(**options).swap(nn.Sequential(nn.Linear(3, 3)) if options.get("skip") else
                                     nn.ModuleDict({"conv_in": nn.Linear(3, 3)}))


def test_a_component_that_is_not_there_is_named(sd_folder):
    with pytest.raises(ValueError, match="component is 'unett'"):
        build(sd_folder, quantizer={"component": "unett"})


# --- the model


def test_layers_keep_parameters_names_and_hash(sd_folder):
    floats = LatentDiffusion(family={"type": "StableDiffusion"}, pretrained=str(sd_folder), tuners=FULL)
    model = build(sd_folder)
    own, other = dict(model.named_parameters()), dict(floats.named_parameters())
    assert list(own) == list(other)
    assert all(torch.equal(own[name], other[name]) for name in own)
    assert model.get_submodule("unet").state_dict().keys() == floats.get_submodule("unet").state_dict().keys()
    assert len(model.quantizer.layers(model)) == 282  # 184 linear layers and 98 convolutions, as in SD 1.5
    assert len(model.quantizer.source_sha256) == 64


def test_without_quantisation_the_output_is_the_float_models_bit_for_bit(sd_folder):
    floats = LatentDiffusion(family={"type": "StableDiffusion"}, pretrained=str(sd_folder), tuners=FULL)
    model = build(sd_folder)
    model.quantizer.calibrate(model, ["a dog"])
    with torch.no_grad(), model.quantizer.disabled(model):
        assert torch.equal(output(model.get_submodule("unet")), output(floats.get_submodule("unet")))
    with torch.no_grad():
        assert not torch.equal(output(model.get_submodule("unet")), output(floats.get_submodule("unet")))


def test_calibration_sees_what_sampling_visits_and_leaves_no_trace(sd_folder):
    model = build(sd_folder)
    seen = []
    first = model.quantizer.layers(model)["conv_in"]
    handle = first.register_forward_pre_hook(lambda layer, inputs: seen.append(inputs[0]))
    before = {name: value.clone() for name, value in model.named_parameters()}
    model.quantizer.calibrate(model, ["a dog", "a cat", "a toy"], batch_size=2)
    handle.remove()
    assert [len(x) for x in seen] == [4, 2]  # a step of two pictures and of one, with guidance
    assert float(first.input_quantizer.low) == min(float(x.min()) for x in seen)
    assert float(first.input_quantizer.high) == max(float(x.max()) for x in seen)
    assert model.training and all(layer.quantizing for layer in model.quantizer.layers(model).values())
    assert all(layer.input_quantizer.record is None for layer in model.quantizer.layers(model).values())
    assert all(torch.equal(before[name], value) for name, value in model.named_parameters())


@pytest.mark.parametrize("options", [
    {"weight_range": "mse", "activation_range": "mse"}, {"learned_scales": True}, {"weight_range": "minmax"},
    {"weight_bits": 4, "activation_bits": None}], ids=["mse", "learned", "minmax", "weights alone"])
def test_integers_compute_as_the_fake_quantised_model_bit_for_bit(sd_folder, options):
    model = build(sd_folder, quantizer=options)
    model.quantizer.calibrate(model, ["a dog"])
    optimizer = torch.optim.AdamW(model.trainable_parameters().values(), lr=1e-3)
    sum(value for name, value in model(**batch()).items() if "loss" in name).backward()
    optimizer.step()
    model.eval()
    with torch.no_grad():
        unet = model.get_submodule("unet")
        assert torch.equal(output(unet), output(quantized_copy(unet)))


def test_a_model_that_is_not_calibrated_has_no_integers(sd_folder):
    model = build(sd_folder)
    with pytest.raises(ValueError, match="never calibrated"):
        model.quantizer.layers(model)["conv_in"].layer_codes()
    model(**batch())  # in training it takes the ranges of its first batch
    model.quantizer.layers(model)["conv_in"].layer_codes()


@pytest.mark.parametrize("kind", ["lora", "loha", "lokr"])
def test_adapters_are_quantised_as_the_weight_that_they_become(sd_folder, kind):
    model = build(sd_folder, {"unet": {"type": "LoRATuner", "component": "unet", "rank": 2, "kind": kind}})
    assert len(model.quantizer.layers(model)) == 282  # the adapters' own parts are not counted
    for value in model.trainable_parameters().values():
        nn.init.normal_(value, std=0.3)
    model.quantizer.calibrate(model, ["a dog"])
    layer = next(layer for name, layer in model.quantizer.layers(model).items() if name.endswith("attn1.to_q"))
    merged = layer.base_layer.weight + layer.get_delta_weight("default")
    assert torch.equal(layer.float_weight(), merged)
    model(**batch())["loss_denoising"].backward()
    assert all(value.grad is not None and value.grad.abs().sum() > 0 for value in model.trainable_parameters().values())
    unet = model.eval().get_submodule("unet")
    with torch.no_grad():
        assert torch.equal(output(unet), output(quantized_copy(unet)))


@pytest.mark.parametrize(("tuner", "quantizer", "message"), [
    ({"dropout": 0.1}, {}, "dropout"),
    ({"kind": "dora"}, {}, "DoRA"),
    ({"kind": "oft", "rank": None, "options": {"oft_block_size": 4}}, {}, "oft, which is not added to a weight"),
    ({}, {"skip": ["to_q$"]}, "cannot be skipped"),
])
def test_adapters_that_are_no_sum_are_refused(sd_folder, tuner, quantizer, message):
    with pytest.raises(ValueError, match=message):
        build(sd_folder, {"unet": {"type": "LoRATuner", "component": "unet", "rank": 2, **tuner}}, quantizer)


def test_the_state_brings_ranges_back(sd_folder):
    model, other = build(sd_folder), build(sd_folder)
    model.quantizer.calibrate(model, ["a dog"])
    state = {name: value.clone() for name, value in model.trainable_state().items()}
    assert len([name for name in state if name.endswith(".input_range")]) == 282
    other.load_trainable_state(state)
    with torch.no_grad():
        assert torch.equal(output(model.eval().get_submodule("unet")), output(other.eval().get_submodule("unet")))


def test_ranges_of_inputs_can_follow_the_first_iterations(sd_folder):
    model = build(sd_folder, quantizer={"track_iters": 2, "momentum": 0.25})
    model.quantizer.calibrate(model, ["a dog"])
    inputs = model.quantizer.layers(model)["conv_in"].input_quantizer
    low, high = inputs.low.clone(), inputs.high.clone()
    seen = []
    handle = model.quantizer.layers(model)["conv_in"].register_forward_pre_hook(lambda _, x: seen.append(x[0]))
    moved = []
    for iteration in range(3):
        model(**batch())
        model.quantizer.after_step(model, iteration)
        moved.append((float(inputs.low), float(inputs.high)))
    handle.remove()
    expected = (torch.lerp(low, seen[0].min(), 0.25), torch.lerp(high, seen[0].max(), 0.25))
    assert moved[0] == pytest.approx(tuple(map(float, expected)))
    assert moved[1] != moved[0] and moved[2] == moved[1]


def test_gradient_checkpointing_changes_nothing(sd_folder):
    gradients = []
    for checkpointing in (False, True):
        model = build(sd_folder, quantizer={"track_iters": 5}, gradient_checkpointing=checkpointing)
        torch.manual_seed(5)
        model.quantizer.calibrate(model, ["a dog"])
        model(**batch())["loss_denoising"].backward()
        model.quantizer.after_step(model, 0)
        layer = model.quantizer.layers(model)["conv_out"]
        gradients.append((layer.weight.grad.clone(), layer.input_quantizer.high.clone()))
    torch.testing.assert_close(gradients[0][0], gradients[1][0])
    assert torch.equal(gradients[0][1], gradients[1][1])


def test_autocast_trains_with_rounded_values(sd_folder):
    model = build(sd_folder)
    model.quantizer.calibrate(model, ["a dog"])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = model(**batch())["loss_denoising"]
    loss.backward()
    gradients = [value.grad for value in model.trainable_parameters().values()]
    assert all(value is not None and value.dtype == torch.float32 and value.isfinite().all() for value in gradients)


def test_the_teacher_is_the_float_model_and_can_be_the_only_one_to_teach(sd_folder):
    model = build(
        sd_folder, objective={"type": "Denoising", "loss_weight": 0.0},
        distiller={"type": "DenoiserDistiller", "objectives": {"loss_output": {"weight": 1.0}}})
    model.quantizer.calibrate(model, ["a dog"])
    terms = model(**batch())
    assert float(terms["loss_denoising"]) == 0 and 0 < float(terms["loss_output"]) < 0.1
    with model.quantizer.disabled(model):
        assert float(model(**batch())["loss_output"]) == pytest.approx(0, abs=1e-9)


def test_a_whole_pipeline_is_written_with_plain_layers(sd_folder, tmp_path):
    from diffkit.export.pipeline import write_pipeline

    model = build(sd_folder, quantizer={"learned_scales": True})
    write_pipeline(model.pipeline(), tmp_path)
    again = LatentDiffusion(family={"type": "StableDiffusion"}, pretrained=str(tmp_path), tuners=FULL)
    assert not any(isinstance(layer, QATLayer) for layer in again.modules())
    assert any(isinstance(layer, QATLayer) for layer in model.modules())


# --- closeness


def test_closeness_is_that_of_predictions_and_pictures():
    reference = Answers(torch.full((4, 1, 2, 2), 2.0), torch.zeros(2, 1, 1, 3, dtype=torch.uint8).numpy())
    pictures = torch.tensor([[[[5, 5, 5]]], [[[0, 0, 0]]]], dtype=torch.uint8).numpy()
    found = compare(Answers(torch.full((4, 1, 2, 2), 2.2), pictures), reference)
    assert found.error == pytest.approx(0.04 / 4, rel=1e-5) and found.error_se == pytest.approx(0, abs=1e-9)
    assert psnr(pictures, reference.pictures) == pytest.approx([10 * math.log10(255**2 / 25), 120])


def trained_and_calibrated(errors, ratios):
    """Distances of a calibrated model that vary much from item to item, and the same with something added."""
    generator = np.random.default_rng(0)
    calibrated = Distances(generator.uniform(0.5, 1.5, 64), generator.uniform(30, 40, 16))
    noise = generator.standard_normal(64) * 0.01, generator.standard_normal(16) * 0.1
    noise = [each - each.mean() for each in noise]
    return Distances(calibrated.errors + errors + noise[0], calibrated.psnr + ratios + noise[1]), calibrated


@pytest.mark.parametrize(("errors", "ratios", "better"), [
    (-0.1, 1.0, True), (-0.1, 0.0, True), (0.0, 1.0, True), (0.0, 0.0, False), (-0.1, -1.0, False), (0.1, 5.0, False),
    (-0.002, 0.03, False), (-0.1, -0.03, True)])  # the last two: less than two standard errors, .0025 and .037
def test_better_is_closer_in_one_figure_and_not_farther_in_the_other_beyond_the_error(errors, ratios, better):
    trained, calibrated = trained_and_calibrated(errors, ratios)
    found = gain(trained, calibrated)
    assert found.error == pytest.approx(-errors) and found.psnr == pytest.approx(ratios)
    assert found.error_se < 0.1 * calibrated.mean().error_se  # item by item, much less than the spread of either
    assert found.is_better(2.0) is better


def test_without_a_margin_any_difference_counts():
    assert gain(*trained_and_calibrated(-0.002, 0.04)).is_better(0.0)
