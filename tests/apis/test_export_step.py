"""One command for every format: what it writes is read by the programs that it is for."""

import json

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline, StableDiffusionPipeline
from safetensors import safe_open

from diffkit.apis import export_step, load_pipeline
from diffkit.cli import main
from diffkit.export import write_artifacts
from tests.apis.test_quantized_pictures import quantise
from tests.export.helpers import add_lora
from tests.tiny import tiny_sd, tiny_sd_pipeline

SMALL = {"block_out_channels": (16, 32), "layers_per_block": 1,
         "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
         "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D")}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return tiny_sd(tmp_path_factory.mktemp("base"), unet=SMALL)


@pytest.fixture(scope="module")
def step(base, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "step1"
    pipe = tiny_sd_pipeline(unet=SMALL)
    adapters = [add_lora(pipe, component, rank=4, alpha=3) for component in ("unet", "text_encoder")]
    write_artifacts([type(each)(each.component, each.module, str(base)) for each in adapters], folder, lambda: pipe)
    return folder


@pytest.fixture(scope="module")
def quantised(base, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "step2"
    quantise(folder, base)
    return folder


def picture(pipe):
    generator = torch.Generator().manual_seed(0)
    pipe.set_progress_bar_config(disable=True)
    return pipe("a dog", num_inference_steps=2, output_type="np", generator=generator).images[0]


@pytest.mark.parametrize("to", ["pipeline", "single-file"])
def test_diffusers_makes_the_pictures_of_the_step(base, step, tmp_path, to, capsys):
    out = tmp_path / ("folder" if to == "pipeline" else "one.safetensors")
    assert main(["export", str(step), "--to", to, "--out", str(out)]) == 0
    assert capsys.readouterr().out.split() == [str(out)]
    found = DiffusionPipeline.from_pretrained(out) if to == "pipeline" else StableDiffusionPipeline.from_single_file(
        str(out), config=str(base), local_files_only=True)
    own = load_pipeline(None, [step], device="cpu", scheduler=None)
    found.scheduler = own.scheduler  # a single file has none: diffusers guesses it
    wanted = picture(own)
    assert np.abs(picture(found) - wanted).max() < 1e-4
    assert np.abs(picture(load_pipeline(base, device="cpu", scheduler=None)) - wanted).max() > 1e-3


def test_a_folder_is_given_for_a_file(step, tmp_path):
    file = export_step([step], "single-file", tmp_path, dtype="float16")
    assert file == tmp_path / f"{step.parent.name}_step1_full.safetensors"
    with safe_open(file, "pt") as opened:
        assert opened.get_tensor("model.diffusion_model.out.2.bias").dtype == torch.float16
    with pytest.raises(ValueError, match="is there already"):
        export_step([step], "single-file", file)


@pytest.mark.parametrize(("to", "name", "message"), [
    ("single-file", "one.ckpt", "let its name end with .safetensors"), ("kohya", "one.PT", "end with .safetensors"),
    ("single-file", "one.Safetensors", "end with .safetensors"), ("pipeline", "one.safetensors", "name a folder"),
    ("onnx", "unet.onnx", "name a folder"), ("openvino", "unet.xml", "name a folder")])
def test_a_file_of_another_format_is_not_a_folder_of_that_name(step, tmp_path, to, name, message, capsys):
    assert main(["export", str(step), "--to", to, "--out", str(tmp_path / "new" / name)]) == 1
    assert message in capsys.readouterr().err and not (tmp_path / "new").exists()


def test_a_folder_may_have_a_dot_in_its_name(step, tmp_path):
    (tmp_path / "v1.ckpt").mkdir()
    for name in ("v1.5", "v1.ckpt"):
        assert export_step([step], "kohya", tmp_path / name, family="sd").parent == tmp_path / name


def test_kohya_is_the_command_that_there_was(step, tmp_path):
    file = export_step([step], "kohya", tmp_path / "lora.safetensors", family="sd")
    with safe_open(file, "pt") as opened:
        assert all(name.startswith("lora_") for name in opened.keys())  # noqa: SIM118
    with pytest.raises(ValueError, match="2 were given"):
        export_step([step, step], "kohya", tmp_path / "b.safetensors")


@pytest.mark.parametrize("to", ["onnx", "openvino"])
def test_the_unet_of_a_step_as_floats_and_as_integers(step, quantised, base, tmp_path, to):
    pytest.importorskip(to, reason=f"{to} is not installed")
    inputs = {"sample": torch.randn(1, 4, 8, 8), "timestep": torch.tensor([300]),
              "encoder_hidden_states": torch.randn(1, 7, 32)}
    for folder in (step, quantised):
        out = tmp_path / folder.name
        written = export_step([folder], to, out)
        own = load_pipeline(None, [folder], device="cpu", kernels="dequantized").unet
        with torch.no_grad():
            wanted = own(**inputs).sample
        error = float((answer(to, written, inputs) - wanted).square().mean() / wanted.square().mean())
        assert error < (1e-8 if folder is step else 0.05)
        with pytest.raises(ValueError, match="holds something"):
            export_step([folder], to, out)
    if to == "openvino":
        assert json.loads((written / "openvino.json").read_text())["source"]["sha256"]


def answer(to, written, inputs):
    if to == "openvino":
        from diffkit.export.openvino import OpenVINOUNet

        return OpenVINOUNet(written, threads=1)(**inputs).sample
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    session = runtime.InferenceSession(str(written), providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(None, {name: value.numpy() for name, value in inputs.items()})[0])


@pytest.mark.parametrize("to", ["pipeline", "single-file"])
def test_integers_are_not_written_where_nobody_reads_them(quantised, tmp_path, to):
    with pytest.raises(ValueError, match="quantised"):
        export_step([quantised], to, tmp_path / "out.safetensors" if to == "single-file" else tmp_path / "out")
    assert not (tmp_path / "out").exists() and not (tmp_path / "out.safetensors").exists()


@pytest.mark.parametrize(("to", "options", "message"), [
    ("piepline", {}, 'did you mean "pipeline"'),
    ("kohya", {"weights": [2.0]}, "weights: an export to kohya has no use"),
    ("onnx", {"dtype": "float16", "vae": "x"}, "dtype, vae: an export to onnx has no use")])
def test_arguments_without_a_meaning_are_refused(step, tmp_path, to, options, message):
    with pytest.raises(ValueError, match=message):
        export_step([step], to, tmp_path / "out", **options)
    with pytest.raises(ValueError, match="steps is empty"):
        export_step([], "pipeline", tmp_path / "out")


def test_a_package_that_is_not_there_is_named(step, tmp_path, monkeypatch, capsys):
    import sys

    monkeypatch.setitem(sys.modules, "onnx", None)
    assert main(["export", str(step), "--to", "onnx", "--out", str(tmp_path / "out")]) == 1
    assert "pip install onnx" in capsys.readouterr().err
