"""What the rounding of each layer costs, and bits by that."""

import json

import pytest
import torch

from diffkit.apis.sensitivity import measure_sensitivity, ranking_lines
from diffkit.evaluation.quantization_sensitivity import QuantizationSensitivity
from diffkit.models import LatentDiffusion

FEW = {"type": "QATQuantizer", "weight_bits": 4, "skip": ["_blocks", "mid_block.resnets"]}  # 14 layers are left
SMALL = {"model.generation": {"num_inference_steps": 1}, "train_dataloader.batch_size": 4,
         "train_dataloader.dataset.length": 8, "train_dataloader.dataset.resolution": 32, "model.quantizer": FEW}


def build(sd_folder, **quantizer):
    return LatentDiffusion(
        family={"type": "StableDiffusion"}, pretrained=str(sd_folder), generation={"num_inference_steps": 1},
        tuners={"unet": {"type": "FullTuner"}}, quantizer={**FEW, **quantizer})


@pytest.fixture(scope="module")
def ranking(sd_folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("ranking") / "layers.json"
    options = {**SMALL, "model.pretrained": str(sd_folder)}
    return measure_sensitivity("mini_sd_qat_kd", what="quantization", batches=1, by="without", out=out,
                               cfg_options=options), out


def test_each_layer_is_quantised_alone_and_left_out(ranking):
    result, out = ranking
    assert json.loads(out.read_text()) == result
    entries = result["ranking"]
    assert {"conv_in", "conv_out", "time_embedding.linear_1"} <= {entry["name"] for entry in entries}
    left_out = [entry["without"] for entry in entries]
    assert left_out == sorted(left_out, reverse=True)  # what matters least comes first
    assert all(entry["only"] >= 0 and "psnr" not in entry for entry in entries)
    assert result["whole"]["error"] > 0 and result["about"]["samples"] == 4
    text = ranking_lines(result)
    assert "n = 4" in text[0] and entries[0]["name"] in text[2] and "4/8" in text[2]


def test_a_layer_whose_output_is_not_used_costs_nothing(sd_folder):
    model = build(sd_folder)
    with torch.no_grad():
        behind = model.unet.mid_block.attentions[0].proj_out
        behind.weight.zero_()
        behind.bias.zero_()
    model.quantizer.calibrate(model, ["a dog"])
    batch = {"pixel_values": torch.rand(2, 3, 32, 32), "prompt": ["a dog"] * 2, "key": [None] * 2}
    measured = QuantizationSensitivity(model, [batch], ["a dog"], [0])
    unused = measured.of("mid_block.attentions.0.proj_in")
    assert unused["only"] == 0
    assert unused["without"] == measured.error(list(measured.layers)) > 0
    assert unused["psnr"] == measured.psnr(list(measured.layers))
    used = measured.of("conv_out")
    assert used["only"] > 0 and used["without"] != unused["without"]
    assert all(layer.quantizing for layer in measured.layers.values())  # as it was


def test_one_layer_alone_is_that_layer_with_rounded_values(sd_folder):
    model = build(sd_folder, activation_bits=None)
    batch = {"pixel_values": torch.rand(2, 3, 32, 32), "prompt": ["a dog"] * 2, "key": [None] * 2}
    measured = QuantizationSensitivity(model, [batch])
    found = measured.error(["conv_out"])
    layer = model.unet.conv_out
    with torch.no_grad(), model.quantizer.disabled(model), model.sampling():
        layer.weight.copy_(layer.quantized_weight())
        outputs = torch.cat([model.predict(step.noisy_latents, step.timesteps, step.conditioning)
                             for step in measured.steps])
    floats = torch.cat(measured.outputs)
    assert found == pytest.approx(float((outputs - floats).square().mean() / floats.square().mean()), rel=1e-4)


def test_a_config_gives_the_layers_that_matter_most_more_bits(ranking, sd_folder):
    result, out = ranking
    model = build(sd_folder, ranking_file=str(out), sensitive=3, sensitive_bits={"weight_bits": 8})
    bits = {name: layer.weight_bits for name, layer in model.quantizer.layers(model).items()}
    assert {name for name, number in bits.items() if number == 8} == {
        entry["name"] for entry in result["ranking"][-3:]}
    assert set(bits.values()) == {4, 8}


@pytest.mark.parametrize(("options", "message"), [
    ({"sensitive": 3}, "belong together"),
    ({"ranking_file": "none.json", "sensitive": 1, "sensitive_bits": {"weight_bits": 8}}, "is no ranking of diffkit"),
    ({"sensitive": 99, "sensitive_bits": {"weight_bits": 8}}, "sensitive is 99"),
    ({"sensitive": 1, "sensitive_bits": {"weight_bits": 9}}, "sensitive_bits: weight_bits is 9"),
])
def test_mistakes_in_a_config_are_named(ranking, sd_folder, options, message):
    file = {} if "ranking_file" in options or message == "belong together" else {"ranking_file": str(ranking[1])}
    with pytest.raises(ValueError, match=message):
        build(sd_folder, **file, **options)


def test_a_ranking_of_another_model_is_refused(sd_folder, tmp_path):
    path = tmp_path / "other.json"
    path.write_text(json.dumps({"about": {"what": "quantization"}, "ranking": [{"name": "conv_inn"}]}))
    with pytest.raises(ValueError, match="ranks another model: this one has no layer 'conv_inn'; did you mean"):
        build(sd_folder, ranking_file=str(path), sensitive=1, sensitive_bits={"weight_bits": 8})


def test_a_ranking_of_blocks_is_none_of_layers(sd_folder, tmp_path):
    path = tmp_path / "blocks.json"
    path.write_text(json.dumps({"about": {}, "ranking": [{"name": "middle block", "remove": ["mid_block"]}]}))
    with pytest.raises(ValueError, match="is no ranking of diffkit sensitivity --what quantization"):
        build(sd_folder, ranking_file=str(path), sensitive=1, sensitive_bits={"weight_bits": 8})


@pytest.mark.parametrize(("config", "options", "message"), [
    ("mini_sd_qat_kd", {"what": "layers"}, "what is 'layers'"),
    ("mini_sd_qat_kd", {"what": "quantization", "by": "loss"}, "by is 'loss'; allowed: only, without, picture"),
    ("mini_sd_distill_small", {"what": "quantization"}, "no model.quantizer"),
])
def test_mistakes_are_named(config, options, message):
    with pytest.raises(ValueError, match=message):
        measure_sensitivity(config, **options)
