"""A UNet in OpenVINO's format: its integers are kept and computed with, and nothing wrong comes out in silence."""

import json
import warnings

import pytest
import torch
from diffusers import UNet2DConditionModel

from diffkit.export.artifacts import QuantizedArtifact
from diffkit.export.quantized import load_quantized, quantized_layers, write_quantized
from diffkit.export.quantized.frozen import example_inputs, freeze
from diffkit.models.quantizers.qat import QATQuantizer
from tests.tiny import SD_SPEC, SDXL_SPEC, tiny_sdxl_pipeline

openvino = pytest.importorskip("openvino", reason="openvino is not installed")

from diffkit.export.openvino import OpenVINOUNet, write_openvino  # noqa: E402

#: Two levels instead of four: the conversion's time is in the number of layers.
FEWER = {"block_out_channels": (16, 32), "layers_per_block": 1, "mid_block_type": None}
SD = {**SD_SPEC["unet"], **FEWER, "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
      "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D")}
SDXL = {**SDXL_SPEC["unet"], **FEWER, "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"), "transformer_layers_per_block": (1, 1),
        "attention_head_dim": (2, 4)}
LAYERS = 65
FLOAT_LAYER = "down_blocks.1.resnets.0.conv_shortcut"


def call(network, inputs, **options):
    inputs = dict(inputs)
    added = {name: inputs.pop(name) for name in ("text_embeds", "time_ids") if name in inputs}
    with torch.no_grad():
        return network(**inputs, **({"added_cond_kwargs": added} if added else {}), **options).sample


def quantised(spec, folder, **options):
    """A UNet with ranges of what one pass saw, written as integers; what the float UNet and the integers give."""
    torch.manual_seed(0)
    unet = UNet2DConditionModel(**spec).eval().requires_grad_(False)
    inputs = example_inputs(dict(unet.config))
    floats = call(unet, inputs)
    QATQuantizer(**options).swap(unet)
    unet.train()
    call(unet, inputs)
    write_quantized(QuantizedArtifact("unet", unet.eval(), "a model", "f" * 64), folder)
    return folder / "unet_int8", inputs, floats, call(load_quantized(folder / "unet_int8"), inputs)


@pytest.fixture(scope="module")
def sd(tmp_path_factory):
    """Weights of 4 bits but for the ends, and one layer whose input stays floats."""
    folder = tmp_path_factory.mktemp("sd")
    rules = {"^conv_(in|out)$": {"weight_bits": 8}, FLOAT_LAYER: {"activation_bits": None}}
    source, *rest = quantised(SD, folder, weight_bits=4, rules=rules)
    written = write_openvino(load_quantized(source), folder / "openvino", {"sha256": "1"})
    return source, written, *rest


def relative(found, wanted):
    return float((found - wanted).square().mean() / wanted.square().mean())


def test_frozen_layers_compute_what_the_quantised_ones_compute(sd):
    source, _, inputs, _, wanted = sd
    network = load_quantized(source)
    assert freeze(network) == LAYERS - 1 and not quantized_layers(network)
    assert torch.equal(call(network, inputs), wanted)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_integers_are_computed_with_and_the_result_is_as_near_to_the_floats(sd, precision):
    _, written, inputs, floats, wanted = sd
    unet = OpenVINOUNet(written, precision, threads=1)
    assert unet.executed["int8"] >= LAYERS - 1, unet.executed
    found = call(unet, inputs)
    assert found.shape == floats.shape and found.dtype == torch.float32
    # One code more or less in an early layer, and later ones round otherwise: only the distance to the floats is alike.
    assert relative(found, floats) < 1.5 * relative(wanted, floats)
    assert relative(found, wanted) < 1.5 * relative(wanted, floats)


def test_the_file_holds_integers(sd):
    source, written, *_ = sd
    info = json.loads((written / "openvino.json").read_text())
    assert (info["quantized_layers"], info["integer_layers"], info["source"]) == (LAYERS, LAYERS - 1, {"sha256": "1"})
    codes = sum(torch.Size(layer.shape).numel() for layer in quantized_layers(load_quantized(source)).values())
    size = (written / "openvino_model.bin").stat().st_size
    assert codes < size < 1.6 * codes, "the rest of a tiny model is biases, norms and scales"


def test_one_layer_is_exact(tmp_path):
    """Where nothing follows that could round otherwise, OpenVINO gives the dequantised layer's values."""
    source, inputs, _, _ = quantised(SD, tmp_path, skip=["^(?!conv_in$)"])
    network = load_quantized(source)
    assert list(quantized_layers(network)) == ["conv_in"]
    wanted = call(network, inputs)
    found = call(OpenVINOUNet(write_openvino(network, tmp_path / "o"), threads=1), inputs)
    assert relative(found, wanted) < 1e-6


def test_sizes_batches_and_timesteps_are_free_where_they_are_right(sd):
    source, written, *_ = sd
    reference, unet = load_quantized(source), OpenVINOUNet(written, threads=1)
    for batch, height, width, words in ((1, 8, 26, 5), (3, 16, 16, 9)):
        inputs = {"sample": torch.randn(batch, 4, height, width), "timestep": torch.tensor(300),
                  "encoder_hidden_states": torch.randn(batch, words, 32)}
        wanted = call(reference, inputs)
        found = call(unet, inputs)
        assert found.shape == wanted.shape and relative(found, wanted) < 0.2


def test_sizes_that_openvino_answers_wrongly_are_refused(sd):
    unet = OpenVINOUNet(sd[1], threads=1)
    inputs = {"timestep": 3, "encoder_hidden_states": torch.randn(1, 5, 32)}
    with pytest.raises(ValueError, match=r"latents of 8 x 13: .* divisible by 2, that is 16 pixels"):
        call(unet, {"sample": torch.randn(1, 4, 8, 13), **inputs})
    with pytest.raises(ValueError, match="takes no mid_block_additional_residual"):
        call(unet, {"sample": torch.randn(1, 4, 8, 8), **inputs}, mid_block_additional_residual=torch.zeros(1))
    with pytest.raises(ValueError, match="precision is 'f16'"):
        OpenVINOUNet(sd[1], "f16")


def test_timesteps_between_two_are_refused(sd):
    unet = OpenVINOUNet(sd[1])
    inputs = {"sample": torch.randn(1, 4, 16, 16), "encoder_hidden_states": torch.randn(1, 5, 32)}
    assert torch.equal(call(unet, {**inputs, "timestep": torch.tensor(951.0)}), call(unet, {**inputs, "timestep": 951}))
    with pytest.raises(ValueError, match=r"timestep 951\.04.*whole timesteps"):
        call(unet, {**inputs, "timestep": torch.tensor(951.04)})


def test_a_wrong_shape_never_leaves_it(sd):
    unet = OpenVINOUNet(sd[1], threads=1)

    class Stale:
        def infer(self, arrays, share_inputs):
            return [torch.zeros(1, 4, 8, 8).numpy()]

    unet._request = Stale()
    with pytest.raises(RuntimeError, match=r"shape \(1, 4, 8, 8\) instead of \(2, 4, 16, 16\)"):
        call(unet, {"sample": torch.randn(2, 4, 16, 16), "timestep": 3, "encoder_hidden_states": torch.randn(2, 5, 32)})


def test_layers_that_would_be_floats_are_told(sd, tmp_path):
    """A model that was converted from floats has no integer layers, whatever its description says."""
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("error", torch.jit.TracerWarning)  # nothing that a user could do something about
        written = write_openvino(UNet2DConditionModel(**SD), tmp_path / "float")
    path = written / "openvino.json"
    info = json.loads(path.read_text())
    assert info["integer_layers"] == 0 and OpenVINOUNet(written, threads=1).executed["int8"] == 0
    path.write_text(json.dumps({**info, "integer_layers": LAYERS}))
    with pytest.raises(ValueError, match=f"would compute 0 layers with integers, and {LAYERS} are quantised"):
        OpenVINOUNet(written, threads=1)


def test_damage_is_refused(sd, tmp_path):
    for name in ("openvino_model.xml", "openvino_model.bin", "openvino.json"):
        folder = tmp_path / name
        folder.mkdir()
        for file in sd[1].iterdir():
            (folder / file.name).write_bytes(file.read_bytes())
        data = bytearray((folder / name).read_bytes())
        data[len(data) // 2] ^= 1
        (folder / name).write_bytes(data if name != "openvino.json" else b"{}")
        with pytest.raises(ValueError, match=name):
            OpenVINOUNet(folder, threads=1)
    with pytest.raises(ValueError, match="holds no UNet for OpenVINO"):
        OpenVINOUNet(tmp_path)


def test_sdxl_has_its_further_inputs(tmp_path):
    source, inputs, floats, wanted = quantised(SDXL, tmp_path)
    unet = OpenVINOUNet(write_openvino(load_quantized(source), tmp_path / "o"), threads=1)
    assert set(inputs) == set(unet.names) and unet.multiple == 2
    assert unet.add_embedding.linear_1.in_features == SDXL["projection_class_embeddings_input_dim"]
    found = call(unet, inputs)
    assert relative(found, floats) < 1.5 * relative(wanted, floats)


def test_it_takes_the_place_of_the_unet_in_a_pipeline_of_sdxl(tmp_path):
    pipe = tiny_sdxl_pipeline(unet=FEWER | {name: SDXL[name] for name in SDXL if name.endswith(("types", "per_block"))}
                              | {"attention_head_dim": (2, 4)})
    pipe.set_progress_bar_config(disable=True)

    def picture():
        return pipe("a dog", num_inference_steps=2, guidance_scale=4.0, height=32, width=32, output_type="np",
                    generator=torch.Generator().manual_seed(0)).images

    wanted = picture()
    pipe.unet = OpenVINOUNet(write_openvino(pipe.unet, tmp_path), threads=1)
    assert abs(picture() - wanted).max() < 1e-3


def test_other_unets_are_refused(tmp_path):
    unet = UNet2DConditionModel(**{**SD, "time_cond_proj_dim": 8})
    with pytest.raises(ValueError, match="time_cond_proj_dim"):
        write_openvino(unet, tmp_path)


def test_openvino_reports_nothing_to_its_makers():
    """Its package for that is taken for absent: nothing is imported from it."""
    import subprocess
    import sys

    code = ("import sys; from diffkit.export.openvino import load_openvino_library as load; load(); "
            "print(sys.modules.get('openvino_telemetry'), 'openvino_telemetry.main' in sys.modules)")
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["None", "False"]
